"""Models that read genomes, notes and images beside codes."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from residency.contract.errors import LineageError
from residency.contract.lineage import digest_file
from residency.contract.packed import ATTACHMENT_KINDS, Packed
from residency.model import Model, ModelSpec, train
from residency.model.attachments import (
    Attaching,
    Named,
    fit_scales,
    kinds_read,
    open_encoders,
    reading,
    ready,
    without_kinds,
)
from residency.model.batches import Collator, plan
from residency.model.fitting import setup
from residency.model.inputs import Windows, whole
from residency.model.marginals import marginals
from residency.model.settings import CALIBRATION_FILE, CURVE_FILE, SETTINGS_FILE, WEIGHTS_FILE
from residency.timeline import Timelines, take, until

BRIEF = ModelSpec(
    size="tiny", context=16, min_patients=10, threads=1, passes=1, note_encoder="", image_encoder=""
)
CODES_ALONE = replace(BRIEF, variants_encoder="")


@pytest.fixture(scope="module")
def with_genomes(documented: Path, now, tmp_path_factory: pytest.TempPathFactory) -> Model:
    out = tmp_path_factory.mktemp("genomes") / "model"
    train(documented, out, replace(BRIEF, passes=12), now=now)
    return Model.open(out)


@pytest.fixture(scope="module")
def people(documented: Path) -> Timelines:
    return Timelines.open(documented)


def states(model: Model, data: Timelines, packed: Packed) -> tuple[np.ndarray, np.ndarray]:
    seen = without_kinds(packed, model.kinds)
    found = model.encode(seen, encoded=model.attaching.encoded(data.attachments(0), seen))
    return found.z.numpy(), found.offset


def test_a_model_reads_the_kinds_that_have_an_encoder_and_enough_patients(people: Timelines) -> None:
    everything = ModelSpec(min_patients=10)
    assert kinds_read(people, everything) == ATTACHMENT_KINDS
    assert kinds_read(people, replace(everything, note_encoder="")) == ("image", "variants")
    assert kinds_read(people, ModelSpec(min_patients=1000)) == ()


def test_every_prefix_of_a_patient_with_attachments_is_the_state_after_a_cut(
    with_genomes: Model, people: Timelines
) -> None:
    packed = take(people.shards[0], np.arange(12))
    z, offset = states(with_genomes, people, packed)
    seen = without_kinds(packed, with_genomes.kinds)
    rng = np.random.default_rng(0)
    for patient in range(12):
        moment = int(rng.integers(*seen.moment_offset[patient : patient + 2]))
        cut = until(take(packed, np.array([patient])), int(seen.moment_time[moment]))
        alone, _ = states(with_genomes, people, cut)
        np.testing.assert_allclose(
            alone[-1], z[moment - seen.moment_offset[patient] + offset[patient]], atol=1e-5
        )


def test_what_lies_beyond_the_context_still_stands_on_record(with_genomes: Model, people: Timelines) -> None:
    packed = without_kinds(people.shards[0], with_genomes.kinds)
    length = np.diff(packed.moment_offset)
    longest = take(packed, np.array([int(np.argmax(length))]))
    assert longest.n_moments > with_genomes.spec.context
    early = np.zeros(longest.n_moments, np.int64)
    early[1] = 1  # a genome known at the first dated moment
    genome = int(people.attachments(0).rows.filter(kind=2)["ref"][0])
    told = longest.with_arrays(
        attachment_offset=np.concatenate([[0], np.cumsum(early)]),
        attachment_kind=np.array([2], np.int8),
        attachment_ref=np.array([genome]),
    )
    with_it = with_genomes.encode(told, encoded=with_genomes.attaching.encoded(people.attachments(0), told))
    without_it = with_genomes.encode(told, encoded={})
    assert float((with_it.z[-1] - without_it.z[-1]).abs().max()) > 1e-2


def test_a_window_knows_the_attachments_from_before_it(with_genomes: Model, people: Timelines) -> None:
    packed = without_kinds(take(people.shards[0], np.arange(30)), with_genomes.kinds)
    encoded = with_genomes.attaching.encoded(people.attachments(0), packed)
    patient = int(np.argmax(np.diff(packed.moment_offset)))
    all_of_it = whole(packed, np.array([patient]))
    late = Windows(all_of_it.patient, all_of_it.low + 5, all_of_it.high)
    seen = []
    for windows in (all_of_it, late):
        rows, inputs = with_genomes.reader.read(packed, windows, encoded=encoded)
        reads = with_genomes.network.encoder.modalities["variants"]
        standing = reads.standing(inputs.attached["variants"]).numpy()
        seen.append(dict(zip(rows.moment.tolist(), standing, strict=True)))
    for moment, standing in seen[1].items():
        np.testing.assert_allclose(standing, seen[0][moment], atol=1e-5)


def test_what_a_genome_tells_is_learned_and_a_patient_without_one_is_answered(
    with_genomes: Model, people: Timelines
) -> None:
    packed = people.shards[0]
    has = np.diff(packed.attachment_offset[packed.moment_offset[:-1][:, None] + np.array([0, 1])], axis=1)
    risk = {}
    for name, kinds in (("with", ("variants",)), ("without", ())):
        seen = without_kinds(packed, kinds)
        first = take(until(seen, np.array(seen.moment_time[seen.moment_offset[:-1]])), np.arange(60))
        found = with_genomes.encode(
            first, encoded=with_genomes.attaching.encoded(people.attachments(0), first)
        )
        risk[name] = with_genomes.label_probability(
            found, found.offset[:-1], np.zeros(60, np.float32), 0
        ).mean(axis=1)
    ill = packed.label_value[packed.label_offset[:60]] > 0
    told = has[:60, 0] > 0
    assert risk["with"][ill & told].mean() > risk["with"][~ill & told].mean() + 0.3
    np.testing.assert_allclose(risk["with"][~told], risk["without"][~told], atol=1e-6)
    assert np.isfinite(risk["without"]).all()


def test_attachments_that_are_not_read_leave_the_same_bytes_as_data_without_them(
    documented: Path, undocumented: Path, now, tmp_path: Path
) -> None:
    for name, folder in (("blind", documented), ("bare", undocumented)):
        train(folder, tmp_path / name, CODES_ALONE, now=now)
    files = (WEIGHTS_FILE, SETTINGS_FILE, CALIBRATION_FILE, CURVE_FILE)
    digests = [[digest_file(tmp_path / name / file) for file in files] for name in ("blind", "bare")]
    assert digests[0] == digests[1]
    assert Model.open(tmp_path / "blind").kinds == ()


def test_the_dials_of_modalities_are_without_effect_where_there_are_none(
    undocumented: Path, now, tmp_path: Path
) -> None:
    digests = []
    for spec in (CODES_ALONE, replace(BRIEF, modality_drop=0.9)):
        out = tmp_path / f"{spec.modality_drop}"
        train(undocumented, out, spec, now=now)
        digests.append(digest_file(out / WEIGHTS_FILE))
    assert digests[0] == digests[1]


def test_the_same_training_twice_gives_the_same_bytes_though_nothing_is_encoded_again(
    documented: Path, now, tmp_path: Path
) -> None:
    weights = []
    for name in ("one", "two"):
        train(documented, tmp_path / name, BRIEF, now=now)
        weights.append(digest_file(tmp_path / name / WEIGHTS_FILE))
    assert weights[0] == weights[1]


def test_dropping_a_kind_is_reading_the_window_as_though_it_were_not_there(people: Timelines) -> None:
    data = reading(people, ("variants",))
    spec = replace(BRIEF, modality_drop=0.5)
    found = marginals(data, spec)
    _, encoded = fit_scales(data, {"variants": ready("variants", None)}, lambda *_: None)
    given = setup(data, spec, found, encoded)
    n_with = []
    for share in (0.0, 0.5, 0.95):
        collator: Collator = replace(given.collator, modality_drop=share)
        n = 0
        for at, piece in enumerate(plan(data, "train", spec, None)):
            batch = collator.collate(data.shards[piece.shard], piece, np.random.default_rng(at), drop=True)
            n += len(batch.inputs.attached["variants"].vector)
        n_with.append(n)
    assert n_with[0] > n_with[1] > n_with[2]
    assert n_with[1] == pytest.approx(n_with[0] / 2, rel=0.25)


def test_an_encoder_other_than_the_one_trained_with_is_refused(
    with_genomes: Model, documented: Path, now, tmp_path: Path
) -> None:
    train(documented, tmp_path / "model", BRIEF, now=now)
    path = tmp_path / "model" / SETTINGS_FILE
    settings = msgspec.json.decode(path.read_bytes())
    named = {kind: msgspec.convert(one, Named) for kind, one in settings["encoders"].items()}
    assert isinstance(open_encoders(tmp_path / "model", named), Attaching)
    other = {"variants": msgspec.structs.replace(named["variants"], digest="0" * 64)}
    with pytest.raises(LineageError, match="not the one"):
        open_encoders(tmp_path / "model", other)
