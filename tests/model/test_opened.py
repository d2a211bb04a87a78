"""A trained model, opened: what it must give whatever it learned."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from residency.contract.codes import DEATH
from residency.contract.errors import LineageError
from residency.contract.lineage import open_made
from residency.model import Model
from residency.timeline import Timelines, until


def test_prefixes_from_one_pass_equal_cut_then_ask(model: Model, data: Timelines) -> None:
    packed = data.shards[0]
    states = model.encode(packed)
    longest = int(np.diff(packed.moment_offset).max())
    assert longest > model.spec.context  # so that the sliding window is at work
    for number in (1, 2, model.spec.context, model.spec.context + 1, longest - 2):
        patients = np.flatnonzero(np.diff(packed.moment_offset) > number)
        moment = packed.moment_offset[patients] + number
        as_of = np.full(packed.n_patients, np.iinfo(np.int64).max)
        as_of[patients] = packed.moment_time[moment]
        cut = model.encode(until(packed, as_of), patients)
        alone = cut.z[cut.offset[1:] - 1]
        assert float((states.z[moment] - alone).abs().max()) < 1e-5


def test_the_state_of_one_moment_alone_is_that_of_the_causal_pass(model: Model, data: Timelines) -> None:
    packed = data.shards[0]
    states = model.encode(packed)
    length = np.diff(packed.moment_offset)
    reach = model.network.trunk.reach(model.spec.context)
    assert length.max() > reach + 2
    draw = np.random.default_rng(1)
    for number in (0, 1, model.spec.context, reach, reach + 1, int(length.max()) - 1, None):
        patients = np.flatnonzero(length > (number or 0))
        within = draw.integers(0, length[patients]) if number is None else np.full(len(patients), number)
        moments = packed.moment_offset[patients] + within
        order = draw.permutation(len(patients))
        alone = model.encode_at(packed, patients[order], moments[order])
        assert float((states.z[moments[order]] - alone.z).abs().max()) < 1e-5
        assert torch.equal(
            states.record.panel[moments[order]].nan_to_num(-1.0), alone.record.panel.nan_to_num(-1.0)
        )
        elapsed = np.full(len(patients), 2.0, np.float32)
        hours = states.hours_since(moments[order], elapsed)
        assert torch.equal(alone.hours_since(np.arange(len(patients)), elapsed), hours)


def test_other_patients_and_their_order_change_nothing(model: Model, data: Timelines) -> None:
    packed = data.shards[0]
    every = model.encode(packed)
    order = np.random.default_rng(0).permutation(packed.n_patients)[:30]
    some = model.encode(packed, order)
    for place, patient in enumerate(order):
        mine = some.z[some.offset[place] : some.offset[place + 1]]
        assert torch.allclose(mine, every.z[packed.moments_of(int(patient))], atol=1e-5)


def test_hazards_are_rates_and_calibrated_by_target(model: Model, data: Timelines) -> None:
    states = model.encode(data.shards[0], np.arange(10))
    moment = states.offset[1:] - 1
    targets = np.arange(len(model.targets))
    never = np.random.default_rng(0).random((10, len(targets))) < 0.5
    hazards = model.hazards(states, moment, np.zeros(10, np.float32), targets, never)
    assert hazards.shape == (10, model.n_heads, len(targets), len(model.edges_days) - 1)
    assert (hazards > 0).all()
    assert np.isfinite(hazards).all()
    doubled = replace(
        model.calibration, hazards=tuple(tuple(2 * f for f in part) for part in model.calibration.hazards)
    )
    again = replace(model, calibration=doubled).hazards(
        states, moment, np.zeros(10, np.float32), targets[1:2], never[:, 1:2]
    )
    assert np.allclose(again, 2 * hazards[:, :, 1:2], rtol=1e-5)


def test_the_hazard_of_a_taught_code_bounds_those_of_codes_below_it(model: Model, data: Timelines) -> None:
    parent, child = (model.targets.index(code) for code in ("ICD10CM/N18", "ICD10CM/N18.3"))
    taught = replace(model, taught=((parent, (0,)),))
    states = model.encode(data.shards[0], np.arange(10))
    asked = states, states.offset[1:] - 1, np.zeros(10, np.float32)
    targets = np.arange(len(model.targets))
    never = np.random.default_rng(0).random((10, len(targets))) < 0.5
    free, bounded = (one.hazards(*asked, targets, never) for one in (model, taught))
    expected = free.copy()
    expected[:, :, child] = np.minimum(free[:, :, child], free[:, :, parent])
    assert (expected != free).any()
    assert np.array_equal(bounded, expected)
    assert taught.bounds.with_above(np.array([child])).tolist() == sorted((parent, child))
    assert model.bounds.with_above(np.array([child])).tolist() == [child]


def test_time_without_news_moves_the_answer_but_never_after_the_first_moment(
    model: Model, data: Timelines
) -> None:
    states = model.encode(data.shards[0], np.arange(10))

    def at(rows: np.ndarray, days: float) -> np.ndarray:
        p = model.label_probability(states, rows, np.full(10, days, np.float32), 0).astype(np.float64)
        return np.log(p / (1 - p))

    last, first = states.offset[1:] - 1, states.offset[:-1]
    assert np.abs(at(last, 0.0) - at(last, 300.0)).max() > 1e-2
    assert np.array_equal(at(first, 0.0), at(first, 300.0))


def test_death_is_the_first_target_and_parents_are_targets(model: Model) -> None:
    assert model.targets[0] == DEATH
    assert {"ICD10CM/N18.3", "ICD10CM/N18"} <= set(model.targets)
    assert model.labels == ("ill",)
    assert model.edges_days[0] == 0
    assert (np.diff(model.edges_days) > 0).all()


def test_the_diagnosis_is_more_likely_after_high_labs(model: Model, data: Timelines) -> None:
    packed = data.shards[0]
    states = model.encode(packed)
    target = np.array([model.targets.index("ICD10CM/N18.3")])
    last = packed.moment_offset[1:] - 1
    never = np.ones((len(last), 1), bool)
    hazard = model.hazards(states, last, np.zeros(len(last), np.float32), target, never).mean(axis=(1, 2, 3))
    ill = packed.label_value[packed.label_offset[:-1]] == 1
    assert hazard[ill].mean() > 3 * hazard[~ill].mean()


@pytest.mark.parametrize(
    "name", ["model.safetensors", "model.json", "calibration.json", "vocabulary.parquet"]
)
def test_an_altered_file_is_refused_before_any_weight_is_used(
    trained: Path, tmp_path: Path, name: str
) -> None:
    altered = tmp_path / "model"
    shutil.copytree(trained, altered)
    body = bytearray((altered / name).read_bytes())
    body[len(body) // 2] ^= 1
    (altered / name).write_bytes(bytes(body))
    with pytest.raises(LineageError):
        Model.open(altered)


def test_the_digest_names_the_model(model: Model, trained: Path) -> None:
    assert model.digest == open_made(trained).digest
