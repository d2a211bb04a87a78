"""Local adaptation: the base stays, the adapter is small and names it, and a changed site is met."""

import dataclasses
import shutil
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score

from residency.contract.digests import digest_tree
from residency.contract.errors import LineageError, SignatureError, TrainingError
from residency.contract.lineage import open_made
from residency.model import Model
from residency.model.adaptation import AdaptSpec, adapt, in_words_of
from residency.model.adaptation.lowrank import adapter_of, baked, matrices, merged, with_adapters
from residency.model.calibration import Calibration
from residency.timeline import Timelines

SPEC = AdaptSpec(threads=1, folds=3, passes=(2, 6), learning_rate=1e-2)


def _told(model: Model, data: Timelines) -> tuple[np.ndarray, np.ndarray]:
    """Give label probabilities and labels of the held-out patients' last moments."""
    said, truth = [], []
    for shard, packed in enumerate(data.shards):
        patients = np.flatnonzero(data.split(shard) == "held_out")
        states = model.encode(packed, patients)
        moment = states.offset[1:] - 1
        none = np.zeros(len(moment), np.float32)
        said.append(model.label_probability(states, moment, none, 0).mean(axis=1))
        truth.append(packed.label_value[packed.label_offset[patients]])
    return np.concatenate(said), np.concatenate(truth)


def _elsewhere(data: Timelines) -> Timelines:
    """Give a site where a high lab is a good sign: what the base learned is wrong there."""
    return dataclasses.replace(
        data, shards=tuple(p.with_arrays(label_value=1.0 - np.asarray(p.label_value)) for p in data.shards)
    )


@pytest.fixture(scope="module")
def elsewhere(data: Timelines) -> Timelines:
    return _elsewhere(data)


@pytest.fixture(scope="module")
def adapter(
    trained: Path,
    timelines: Path,
    elsewhere: Timelines,
    tmp_path_factory: pytest.TempPathFactory,
    now: datetime,
) -> Path:
    """Folder of an adapter for that site."""
    out = tmp_path_factory.mktemp("adapted") / "adapter"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Timelines, "open", classmethod(lambda cls, folder: elsewhere))
        adapt(trained, timelines, out, SPEC, now=now)
    return out


def test_the_base_stays_as_it_is_and_the_adapter_is_small_and_names_it(trained: Path, adapter: Path) -> None:
    manifest, base = open_made(adapter, "adapt"), open_made(trained, "train", verify=True)
    assert manifest.made_from[0] == base.digest
    assert manifest.result["passes"] in SPEC.passes
    size = (adapter / "adapter.safetensors").stat().st_size
    assert size < 0.5 * (trained / "model.safetensors").stat().st_size


def test_an_adapter_meets_a_site_where_the_base_is_wrong(
    model: Model, adapter: Path, elsewhere: Timelines
) -> None:
    said, truth = _told(model, elsewhere)
    assert roc_auc_score(truth, said) < 0.2
    adapted, truth = _told(Model.open(adapter), elsewhere)
    assert roc_auc_score(truth, adapted) > 0.9
    assert log_loss(truth, adapted) < log_loss(truth, said)


def test_at_home_recalibration_moves_little(
    model: Model, trained: Path, timelines: Path, data: Timelines, tmp_path: Path, now: datetime
) -> None:
    """It starts where the base's own calibration ends, not from the bare network."""
    spec = dataclasses.replace(SPEC, rank=0)
    adapt(trained, timelines, tmp_path / "home", spec, now=now)
    (said, _), (again, _) = _told(model, data), _told(Model.open(tmp_path / "home"), data)
    assert np.abs(said - again).max() < 0.1


def test_an_adapter_of_another_base_or_an_altered_one_is_refused(
    adapter: Path, trained: Path, timelines: Path, tmp_path: Path, now: datetime
) -> None:
    altered = tmp_path / "altered"
    shutil.copytree(adapter, altered)
    weights = bytearray((altered / "adapter.safetensors").read_bytes())
    weights[-1] ^= 1
    (altered / "adapter.safetensors").write_bytes(weights)
    with pytest.raises(LineageError, match="altered"):
        Model.open(altered, base=trained)
    moved = tmp_path / "moved" / "adapter"
    shutil.copytree(adapter, moved)
    with pytest.raises(LineageError, match="not where it lay"):
        Model.open(moved)
    assert Model.open(moved, base=trained).digest == Model.open(adapter).digest


def test_another_base_is_refused(adapter: Path, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    from residency.model.adaptation import opening

    other = dataclasses.replace(model, digest="0" * 64)
    monkeypatch.setattr(opening.Model, "open", lambda folder: other)
    with pytest.raises(LineageError, match="another base"):
        opening.open_adapted(adapter)


def test_an_adapter_is_signed_as_a_whole(adapter: Path, tmp_path: Path) -> None:
    pytest.importorskip("model_signing")
    from residency.release.keys import make_key
    from residency.release.seal import check_seal, seal

    copy, key = tmp_path / "adapter", make_key(tmp_path / "keys", "board")
    shutil.copytree(adapter, copy)
    seal(copy, tmp_path / "adapter.sig", key=key.private)
    check_seal(copy, tmp_path / "adapter.sig", public_key=key.public)
    (copy / "calibration.json").write_text("{}", "utf-8")
    with pytest.raises(SignatureError):
        check_seal(copy, tmp_path / "adapter.sig", public_key=key.public)


@pytest.mark.slow
def test_the_same_site_gives_the_same_bytes(
    trained: Path, timelines: Path, tmp_path: Path, now: datetime
) -> None:
    brief = dataclasses.replace(SPEC, passes=(1,), folds=2)
    for name in ("one", "two"):
        adapt(trained, timelines, tmp_path / name, brief, now=now)
    assert open_made(tmp_path / "one").digest == open_made(tmp_path / "two").digest
    assert digest_tree(tmp_path / "one" / "adapter.safetensors") == digest_tree(
        tmp_path / "two" / "adapter.safetensors"
    )


def test_too_few_patients_are_refused(trained: Path, timelines: Path, tmp_path: Path, now: datetime) -> None:
    with pytest.raises(TrainingError, match="may teach"):
        adapt(trained, timelines, tmp_path / "few", AdaptSpec(sites=("absent",)), now=now)
    assert not (tmp_path / "few").exists()


def test_new_adapters_add_nothing_and_stored_ones_what_they_did(model: Model) -> None:
    adapted = with_adapters(model.network, 2, seed=0)
    names = matrices(model.network)
    assert any(name.startswith("trunk.layers.0") for name in names)
    assert "hazard.mix" in names
    nothing = merged(model.network, adapter_of(adapted, model.network))
    for (name, one), (_, other) in zip(
        nothing.named_parameters(), model.network.named_parameters(), strict=True
    ):
        assert torch.equal(one, other), name
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if name.endswith(".up"):
                parameter.normal_()
    moved = merged(model.network, adapter_of(adapted, model.network))
    for name, part in matrices(moved).items():
        inside = adapted.get_submodule(name).weight
        assert torch.allclose(part.weight, inside), name
        assert torch.linalg.matrix_rank(part.weight - names[name].weight) <= 2


def test_an_adapter_of_other_sizes_is_refused(model: Model) -> None:
    wrong = {"trunk.layers.0.qkv.up": torch.zeros(3, 2), "trunk.layers.0.qkv.down": torch.zeros(2, 5)}
    with pytest.raises(LineageError, match="does not fit"):
        merged(model.network, wrong)


def test_baking_a_calibration_in_gives_what_calibrating_gives(model: Model, data: Timelines) -> None:
    n = len(model.targets)
    said = Calibration(((1.7, -0.4),), ((2.0,) * n, (0.5,) * n), (0.7, 1.3))
    outside = dataclasses.replace(model, calibration=said)
    inside = dataclasses.replace(
        model, calibration=Calibration.none(1, n), network=baked(model.network, said).eval()
    )
    packed = data.shards[0]
    states = model.encode(packed, np.arange(5))
    moment, none = states.offset[1:] - 1, np.zeros(5, np.float32)
    a, b = (one.label_probability(states, moment, none, 0) for one in (outside, inside))
    assert a == pytest.approx(b, abs=1e-5)
    never = np.zeros((5, n), bool)
    a, b = (one.hazards(states, moment, none, np.arange(n), never) for one in (outside, inside))
    assert a == pytest.approx(b, rel=1e-4)


def test_a_sites_own_vocabulary_is_read_in_the_models_words(model: Model, data: Timelines) -> None:
    order = np.arange(len(data.vocabulary))
    order[1:] = order[1:][::-1]
    place = np.argsort(order)
    own = dataclasses.replace(
        data.vocabulary,
        codes=tuple(data.vocabulary.codes[one] for one in order),
        units=tuple(data.vocabulary.units[one] for one in order),
        ancestor_offset=np.zeros(len(order) + 1, np.int64),
        ancestor_index=np.zeros(0, np.int32),
    )
    shards = tuple(p.with_arrays(event_code=place[p.event_code].astype(np.int32)) for p in data.shards)
    theirs = dataclasses.replace(data, vocabulary=own, shards=shards)
    back = in_words_of(theirs, model)
    for one, other in zip(back.shards, data.shards, strict=True):
        assert (one.event_code == other.event_code).all()
        assert np.array_equal(one.event_value, other.event_value, equal_nan=True)
        assert np.array_equal(one.label_value, other.label_value)
    assert in_words_of(data, model) is data


def test_values_in_another_unit_are_left_out_and_strange_codes_are_unknown(
    model: Model, data: Timelines
) -> None:
    lab = data.vocabulary.index_of("LOINC/2160-0")
    units, codes = list(data.vocabulary.units), list(data.vocabulary.codes)
    units[lab] = "umol/L"
    visit = data.vocabulary.index_of("VISIT/AMB")
    codes[visit] = "LOCAL/strange"
    own = dataclasses.replace(data.vocabulary, units=tuple(units), codes=tuple(codes))
    back = in_words_of(dataclasses.replace(data, vocabulary=own, labels=("other",)), model)
    packed = back.shards[0]
    assert np.isnan(packed.event_value[packed.event_code == lab]).all()
    assert (packed.event_code != visit).all()
    assert len(packed.label_value) == 0
    assert packed.label_offset[-1] == 0
