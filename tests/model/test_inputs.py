"""What the network reads, against a slow reading of the same patients."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from residency.contract.packed import DAY, STATIC, Packed
from residency.model import Model
from residency.model.inputs import Inputs, Windows, spread, whole
from residency.timeline import Timelines, take


@pytest.fixture(scope="module")
def packed(data: Timelines) -> Packed:
    return take(data.shards[0], np.arange(20))


def _same(left: Inputs, right: Inputs) -> None:
    for name, value in vars(left).items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(
                torch.nan_to_num(value, nan=-9.0), torch.nan_to_num(getattr(right, name), nan=-9.0)
            )


def test_the_standing_state_is_what_a_slow_reading_finds(model: Model, packed: Packed) -> None:
    rows, inputs = model.reader.read(packed, whole(packed, np.arange(20)))
    lab = model.vocabulary.index_of("LOINC/2160-0")
    slot = int(model.reader.layout.slot[lab])
    for patient in range(20):
        values: list[float] = []
        when = None
        for moment in range(*packed.moments_of(patient).indices(packed.n_moments)):
            events = slice(packed.event_offset[moment], packed.event_offset[moment + 1])
            code, value = packed.event_code[events], packed.event_value[events]
            for found in value[code == lab]:
                values.append(
                    float(spread(model.vocabulary.rank(np.array([lab], np.int32), np.array([found])))[0])
                )
                when = packed.moment_time[moment]
            row = int(np.flatnonzero(rows.moment == moment)[0])
            assert inputs.count[row, slot] == len(values)
            if values:
                assert inputs.rank[row, slot] == pytest.approx(values[-1], abs=1e-6)
                hours = (packed.moment_time[moment] - when) / (DAY / 24)
                assert inputs.hours[row, slot] == pytest.approx(hours, abs=1e-3)
                change = values[-1] - values[-2] if len(values) > 1 else 0.0
                assert inputs.change[row, slot] == pytest.approx(change, abs=1e-6)
            else:
                assert torch.isnan(inputs.rank[row, slot])


def test_a_code_without_values_stands_for_those_below_it_too(model: Model, packed: Packed) -> None:
    layout, vocabulary = model.reader.layout, model.vocabulary
    rows, inputs = model.reader.read(packed, whole(packed, np.arange(20)))
    parents = [
        int(code)
        for code in layout.panel[layout.n_valued :]
        if any(code in vocabulary.ancestors_of(other) for other in range(len(vocabulary)))
    ]
    assert parents
    for parent in parents:
        family = [parent] + [o for o in range(len(vocabulary)) if parent in vocabulary.ancestors_of(o)]
        held = np.isin(packed.event_code, family)
        upto = np.concatenate([[0], np.cumsum(held)])
        first = packed.moment_offset[np.searchsorted(packed.moment_offset, rows.moment, "right") - 1]
        count = upto[packed.event_offset[rows.moment + 1]] - upto[packed.event_offset[first]]
        assert np.array_equal(inputs.count[:, layout.slot[parent]].numpy(), count)


def test_no_two_codes_of_the_panel_have_just_the_same_records(model: Model) -> None:
    layout, vocabulary = model.reader.layout, model.vocabulary
    size = {int(c): (vocabulary.n_patients[c], vocabulary.n_events[c]) for c in layout.panel}
    for code in size:
        assert not any(size.get(int(above)) == size[code] for above in vocabulary.ancestors_of(code))
    assert np.all(np.diff(vocabulary.knot_offset)[layout.panel[: layout.n_valued]] > 0)
    assert np.all(np.diff(vocabulary.knot_offset)[layout.panel[layout.n_valued :]] == 0)


def test_a_window_knows_the_standing_state_from_before_it(model: Model, packed: Packed) -> None:
    patient = int(np.argmax(np.diff(packed.moment_offset)))
    all_of_it = whole(packed, np.array([patient]))
    rows, inputs = model.reader.read(packed, all_of_it)
    late = Windows(all_of_it.patient, all_of_it.low + 5, all_of_it.high)
    later_rows, later = model.reader.read(packed, late)
    again = np.searchsorted(rows.moment, later_rows.moment)
    for name in ("rank", "hours", "change", "count", "clock"):
        before, after = getattr(inputs, name)[again], getattr(later, name)
        assert torch.equal(torch.nan_to_num(before, nan=-9.0), torch.nan_to_num(after, nan=-9.0))


def test_a_shift_of_all_dates_changes_nothing(model: Model, packed: Packed) -> None:
    shift = lambda time: np.where(time == STATIC, STATIC, time + 7 * DAY)  # noqa: E731
    moved = packed.with_arrays(moment_time=shift(packed.moment_time), event_time=shift(packed.event_time))
    patients = np.arange(20)
    _same(
        model.reader.read(packed, whole(packed, patients))[1],
        model.reader.read(moved, whole(moved, patients))[1],
    )


def test_dropping_leaves_the_record_as_it_is_and_takes_about_a_tenth(model: Model, packed: Packed) -> None:
    windows = whole(packed, np.arange(20))
    _, all_of_it = model.reader.read(packed, windows)
    _, dropped = model.reader.read(packed, windows, np.random.default_rng(0))
    share = len(dropped.entry) / len(all_of_it.entry)
    assert 0.85 < share < 0.95
    assert torch.equal(all_of_it.second, dropped.second)


def test_values_lie_between_two_knots_whose_weights_add_to_one(model: Model, packed: Packed) -> None:
    _, inputs = model.reader.read(packed, whole(packed, np.arange(20)))
    knots = inputs.entry >= len(model.vocabulary)
    n_values = int((~np.isnan(model.vocabulary.rank(packed.event_code, packed.event_value))).sum())
    assert float(inputs.weight[knots].sum()) == pytest.approx(n_values, rel=1e-5)
    assert int(inputs.entry.max()) < model.reader.layout.n_rows


def test_ancestors_enter_beside_their_codes(model: Model, packed: Packed) -> None:
    child, parent = (model.vocabulary.index_of(code) for code in ("ICD10CM/N18.3", "ICD10CM/N18"))
    _, inputs = model.reader.read(packed, whole(packed, np.arange(20)))
    n_child = int((packed.event_code == child).sum())
    assert n_child > 0
    assert int((inputs.entry == child).sum()) == int((inputs.entry == parent).sum()) == n_child


def test_a_patient_of_one_moment_can_be_read(model: Model, packed: Packed) -> None:
    alone = take(packed, np.array([0]))
    windows = Windows(np.array([0]), np.array([1]), np.array([1]))
    rows, inputs = model.reader.read(alone, windows)
    assert len(rows.moment) == inputs.shape[1] == 1
    assert replace(inputs).place.tolist() == [0]
