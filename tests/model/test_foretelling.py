"""Trees say what first records they expect of a train patient, never by that patient's own."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import poisson, spearmanr
from sklearn.metrics import roc_auc_score

from residency.contract.codes import DEATH
from residency.contract.errors import TrainingError
from residency.contract.packed import DAY
from residency.contract.progress import silent
from residency.model import Model, ModelSpec, train
from residency.model.adaptation.lowrank import baked
from residency.model.batches import Batch, plan
from residency.model.calibration import Calibration
from residency.model.fitting import Setup, begin, losses, network_of, setup
from residency.model.foretelling import PASSES, foretold
from residency.model.heads import N_HEADS
from residency.model.marginals import marginals
from residency.model.moments import CLOCK_NUMBERS
from residency.model.network import Network
from residency.model.objectives import Told, foretold_loss
from residency.model.own import PICKED
from residency.model.teaching import FOLDS, TRUST
from residency.timeline import Timelines

ILL = "ICD10CM/N18.3"
TELLING = "LOINC/2160-0"
SPEC = ModelSpec(
    size="tiny", context=16, min_patients=10, threads=1, passes=2, teacher="trees", taught=(ILL,)
)


@pytest.fixture(scope="module")
def given(data: Timelines) -> Setup:
    return setup(data, SPEC, marginals(data, SPEC))


@pytest.fixture(scope="module")
def learned(given: Setup, tmp_path_factory: pytest.TempPathFactory) -> Setup:
    return foretold(given, tmp_path_factory.mktemp("work"), silent)


def onset(data: Timelines, shard: int) -> np.ndarray:
    """When each patient's diagnosis first was known; the last of times for who never had it."""
    packed, code = data.shards[shard], data.vocabulary.index_of(ILL)
    found = np.full(packed.n_patients, np.iinfo(np.int64).max)
    for row in range(packed.n_patients):
        for moment in range(packed.moment_offset[row], packed.moment_offset[row + 1]):
            if code in packed.event_code[packed.event_offset[moment] : packed.event_offset[moment + 1]]:
                found[row] = min(found[row], packed.moment_time[moment])
    return found


def test_instants_are_those_of_train_patients_who_have_not_had_it(given: Setup, learned: Setup) -> None:
    for shard, said in enumerate(learned.collator.foretold):
        assert (given.data.split(shard)[said.patient] == "train").all()
        had = onset(given.data, shard)[said.patient] <= said.time
        assert had.any()
        assert (said.days[had] == 0).all()
        assert (said.came[had] == 0).all()
        assert (said.days[~had].sum(axis=(1, 2)) > 0).all()


def test_what_is_expected_adds_up_to_what_came_and_tells_who_falls_ill(given: Setup, learned: Setup) -> None:
    came, soon, rate = np.zeros(2), [], []
    for shard, said in enumerate(learned.collator.foretold):
        wait = (onset(given.data, shard)[said.patient] - said.time) / DAY
        days = said.days[:, 0].sum(axis=1)
        at = np.searchsorted(given.marginals.targets.edges_days, wait) - 1
        taught = (at >= 0) & (at < said.days.shape[2])
        inside = taught & (said.days[np.arange(len(at)), 0, np.where(taught, at, 0)] > 0)
        expected = (said.came[:, 0].sum(axis=1) - (1 - TRUST) * inside) / TRUST
        held = days > 0
        came += inside[held].sum(), expected[held].sum()
        soon.append(inside[held])
        rate.append((expected / np.maximum(days, 1e-6))[held])
    assert 0.75 < came[1] / came[0] < 1.3
    assert roc_auc_score(np.concatenate(soon), np.concatenate(rate)) > 0.8


def test_what_trees_expect_of_a_patient_hangs_on_others_alone(
    given: Setup, learned: Setup, tmp_path: Path
) -> None:
    """In another world those of one fold never fell ill: what is said of them stays, of others it moves."""
    ill, other = (given.data.vocabulary.index_of(code) for code in (ILL, "VISIT/AMB"))
    shards = []
    for packed in given.data.shards:
        moment = np.repeat(np.arange(packed.n_moments), np.diff(packed.event_offset))
        owner = np.searchsorted(packed.moment_offset, moment, "right") - 1
        gone = (np.array(packed.subject)[owner] % FOLDS == 1) & (packed.event_code == ill)
        shards.append(packed.with_arrays(event_code=np.where(gone, other, packed.event_code)))
    healthy = replace(given, data=replace(given.data, shards=tuple(shards)))
    told = foretold(healthy, tmp_path, silent)
    same, moved = [], []
    for shard, (one, two) in enumerate(zip(learned.collator.foretold, told.collator.foretold, strict=True)):
        assert (one.time == two.time).all()
        until = (onset(given.data, shard)[one.patient] - one.time) / DAY
        before = given.marginals.targets.edges_days[1:] < until[:, None]
        open_ = before & (one.came[:, 0] > 0) & (two.came[:, 0] > 0)  # trees speak of it, in both worlds
        rates = [np.where(open_, x.came[:, 0] / np.maximum(x.days[:, 0], 1e-9), 0.0) for x in (one, two)]
        mine = np.array(given.data.shards[shard].subject)[one.patient] % FOLDS == 1
        same.append(np.abs(rates[0] - rates[1])[mine].max(initial=0.0))
        moved.append(np.abs(rates[0] - rates[1])[~mine].max(initial=0.0))
    assert max(same) < 1e-9
    assert max(moved) > 1e-5


def test_a_pass_meets_every_instant_once(learned: Setup) -> None:
    rng, met, days = np.random.default_rng(3), 0, 0.0
    for piece in plan(learned.data, "train", SPEC, rng):
        told = learned.collator.collate(learned.data.shards[piece.shard], piece, rng, drop=True).told
        if told is not None:
            met += len(told.row)
            days += float(told.days.sum())
    lessons = learned.collator.foretold
    assert met == sum(len(one.time) for one in lessons)
    assert days == pytest.approx(sum(float(one.days.sum()) for one in lessons), rel=1e-5)


def batches(learned: Setup, split: str) -> Iterator[Batch]:
    rng = np.random.default_rng(3)
    for piece in plan(learned.data, split, SPEC, None):
        yield learned.collator.collate(learned.data.shards[piece.shard], piece, rng, drop=False)


def test_after_the_lessons_the_record_alone_says_much_of_what_the_teacher_says(learned: Setup) -> None:
    network, teacher, pupil = network_of(learned).eval(), [], []
    head = network.hazard
    for batch in batches(learned, "train"):
        if batch.told is not None:
            told = batch.told
            with torch.no_grad():
                features = network.record(batch.inputs).numbers(told.row, told.hours)
                read = head.read(torch.zeros(len(features), head.shared.in_features), features)
                rate = head.firsts(read, told.target).exp().mean(dim=1)
            at_risk = told.days.sum(dim=(1, 2)) > 0
            teacher.append((told.came.sum(dim=2) / told.days.sum(dim=2))[at_risk])
            pupil.append(((rate * told.days).sum(dim=2) / told.days.sum(dim=2))[at_risk])
    assert spearmanr(torch.cat(teacher), torch.cat(pupil)).statistic > 0.5


def test_lessons_move_the_codes_own_maps_alone_and_nothing_else_moves_these(learned: Setup) -> None:
    one, two = network_of(replace(learned, own={})), network_of(learned)
    own = {name for name, _ in two.named_parameters() if name.startswith("hazard.own.")}
    assert moved(one, two) == own
    training = begin(learned, None)
    for at, batch in enumerate(batches(learned, "train")):
        training.step(batch, done=0.5, shard=0, draw=at)
    after = {name for name, _ in two.named_parameters() if name not in moved(two, training.network)}
    assert after >= own
    assert "hazard.code" not in after


def test_a_calibration_baked_in_holds_for_taught_codes_too(learned: Setup) -> None:
    network = network_of(learned).eval()
    head, target = network.hazard, learned.collator.foretold[0].target
    n, labels = len(learned.marginals.targets), len(learned.data.labels)
    said = Calibration(((1.0, 0.0),) * labels, ((2.0,) * n, (0.5,) * n), (0.7, 1.3))
    z = torch.randn(4, head.shared.in_features)
    numbers = torch.rand(4, CLOCK_NUMBERS + head.standing.down.in_features)
    never = torch.ones(4, len(target), dtype=torch.bool)
    inside = baked(network, said).hazard
    with torch.no_grad():
        outside = head.columns(head.read(z, numbers), torch.from_numpy(target), never, said.slopes)
        torch.testing.assert_close(
            inside.firsts(inside.read(z, numbers), torch.from_numpy(target)).exp(), 2.0 * outside.exp()
        )


def moved(one: Network, two: Network) -> set[str]:
    """Give the names of the parameters in which two networks differ."""
    pairs = zip(one.named_parameters(), two.parameters(), strict=True)
    return {name for (name, a), b in pairs if not torch.equal(a, b)}


def test_the_maps_read_what_the_trees_looked_at(given: Setup, learned: Setup) -> None:
    ((target, codes),) = learned.taught
    assert [target] == learned.collator.foretold[0].target.tolist()
    assert len(set(codes)) == min(PICKED, len(given.collator.reader.layout.panel))
    first = learned.data.vocabulary.codes[given.collator.reader.layout.panel[codes[0]]]
    assert first == TELLING


def test_of_what_is_taught_a_train_patient_teaches_nothing_besides(learned: Setup) -> None:
    network = network_of(learned)
    (taught,) = learned.collator.foretold[0].target.tolist()
    for split, moves in (("train", False), ("tuning", True)):
        network.zero_grad()
        for batch in batches(learned, split):
            if (batch.told is None) == moves:
                losses(network, learned, batch)["hazard"].backward()
        gradient = network.hazard.bias.grad
        assert gradient is not None
        assert bool(gradient[0, taught].any()) == moves
        assert gradient[1, taught].any()
        assert gradient[0, 0].any()


def test_nobody_but_train_patients_is_told_of(learned: Setup) -> None:
    rng = np.random.default_rng(3)
    for piece in plan(learned.data, "tuning", SPEC, None):
        assert learned.collator.collate(learned.data.shards[piece.shard], piece, rng, drop=False).told is None


def test_its_loss_is_the_likelihood_of_poisson_counts(learned: Setup) -> None:
    """Against SciPy, by differences: what does not hang on the rates is left out of the loss."""
    network, rng = network_of(learned), np.random.default_rng(0)
    n, head = 7, network.hazard
    days = torch.from_numpy(rng.exponential(50.0, (n, 1, head.n_intervals)).astype(np.float32))
    came = torch.from_numpy(rng.integers(0, 2, (n, 1, head.n_intervals)).astype(np.float32))
    weight = torch.from_numpy(rng.integers(0, 3, (n, N_HEADS)).astype(np.float32))
    z = torch.from_numpy(rng.normal(size=(n, head.shared.in_features)).astype(np.float32))
    near = torch.zeros(n, CLOCK_NUMBERS + head.standing.down.in_features)
    target = torch.tensor([1])
    told = Told(torch.arange(n), torch.zeros(n), days, came, weight, target, torch.ones(1))

    def both() -> tuple[float, float]:
        with torch.no_grad():
            log_rate = head.firsts(head.read(z, near), target)
            loss = float(foretold_loss(log_rate, told))
        mean = log_rate.double().exp().numpy() * days[:, None].numpy()
        scipy = -poisson.logpmf(came[:, None].numpy(), mean).sum(axis=(2, 3))
        return loss, float((scipy * weight.numpy()).sum() / (N_HEADS * n))

    one = both()
    with torch.no_grad():
        head.bias[0, 1] += 0.7
        head.code[0, 1] *= 3.0
    two = both()
    assert two[0] - one[0] == pytest.approx(two[1] - one[1], rel=1e-4)


def test_a_training_taken_up_again_reads_what_was_kept(given: Setup, tmp_path: Path) -> None:
    told: list[str] = []
    first = foretold(given, tmp_path, lambda what, *_: told.append(what))
    again = foretold(given, tmp_path, lambda what, *_: told.append(what))
    assert told[:2] == ["grow trees", "lessons"]
    assert len(told) >= 1 + PASSES
    assert set(told[1:]) == {"lessons"}

    def kept(one: Setup) -> list[np.ndarray]:
        return [array for said in one.collator.foretold for array in vars(said).values()]

    assert all((a == b).all() for a, b in zip(kept(first), kept(again), strict=True))


def test_of_a_code_that_too_few_had_what_came_teaches(
    given: Setup, learned: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("residency.model.foretelling._LEAST_ILL", 10**6)
    lessons = foretold(given, tmp_path, silent).collator.foretold
    for shard, (one, with_trees) in enumerate(zip(lessons, learned.collator.foretold, strict=True)):
        assert np.array_equal(one.days, with_trees.days)
        assert ((one.came > 0).sum(axis=(1, 2)) <= 1).all()  # a record comes in one interval, or not at all
        assert ((with_trees.came > 0).sum(axis=(1, 2)) > 1).any()
        due = onset(given.data, shard)[one.patient] > one.time
        assert not one.came[~due].any()
    assert sum(float(one.came.sum()) for one in lessons) > 0


def test_a_taught_model_keeps_nothing_of_single_patients(
    timelines: Path, tmp_path: Path, now: datetime
) -> None:
    train(timelines, tmp_path / "model", SPEC, now=now)
    assert ILL in Model.open(tmp_path / "model").targets
    assert not list((tmp_path / "model").rglob("*lessons*"))


def test_death_is_taught_like_any_code_and_moves_no_others_lessons(
    given: Setup, learned: Setup, tmp_path: Path
) -> None:
    both = foretold(replace(given, spec=replace(given.spec, taught=(ILL, DEATH))), tmp_path, silent)
    deaths, farthest = np.zeros(2), given.marginals.targets.edges_days[-1]
    for shard, (one, two) in enumerate(zip(learned.collator.foretold, both.collator.foretold, strict=True)):
        assert two.target.tolist() == [*one.target.tolist(), 0]
        assert np.array_equal(one.days[:, 0], two.days[:, 0])
        assert np.array_equal(one.came[:, 0], two.came[:, 0])
        packed = given.data.shards[shard]
        last = packed.event_code[packed.event_offset[packed.moment_offset[1:] - 1]]
        died = last == given.data.vocabulary.index_of(DEATH)
        end = packed.observation_end[packed.observation_offset[1:] - 1]
        left = np.minimum((end[two.patient] - two.time) / DAY, farthest)
        np.testing.assert_allclose(two.days[:, 1].sum(axis=1), left, rtol=1e-3, atol=0.01)
        deaths += (died[two.patient] & (left < farthest)).sum(), two.came[:, 1].sum()
    assert 0.75 < deaths[1] / deaths[0] < 1.3


@pytest.mark.parametrize(("name", "n_dead"), [("ICD10CM/Z99", 99), (DEATH, 9)])
def test_a_code_of_too_few_patients_is_refused_death_too(
    given: Setup, tmp_path: Path, name: str, n_dead: int
) -> None:
    vocabulary = given.data.vocabulary
    n_patients = vocabulary.n_patients.copy()
    n_patients[vocabulary.index_of(DEATH)] = n_dead
    data = replace(given.data, vocabulary=replace(vocabulary, n_patients=n_patients))
    asked = replace(given, data=data, spec=replace(given.spec, taught=(ILL, name)))
    with pytest.raises(TrainingError, match="1 of the 2 codes"):
        foretold(asked, tmp_path, silent)


def test_codes_to_be_taught_without_a_teacher_are_refused() -> None:
    with pytest.raises(ValueError, match="teacher"):
        ModelSpec(taught=(ILL,))
