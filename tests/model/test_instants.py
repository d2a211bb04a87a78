"""Instants are drawn as dense as they should be, and what comes after them has no say."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from residency.contract.packed import DAY, Packed
from residency.model.batches import cut_out, plan
from residency.model.inputs import Windows, whole
from residency.model.instants import Density, after_moments, over_time
from residency.model.outcomes import Index
from residency.model.spec import ModelSpec
from residency.timeline import Timelines, take

N = 40


@pytest.fixture(scope="module")
def packed(data: Timelines) -> Packed:
    return take(data.shards[0], np.arange(N))


def as_of(packed: Packed, index: Index) -> np.ndarray:
    result: np.ndarray = packed.moment_time[index.moment] + index.elapsed
    return result


def test_instants_over_time_are_even_and_know_the_last_moment_before_them(packed: Packed) -> None:
    low, high = packed.moment_offset[:-1] + 1, packed.moment_offset[1:]
    index = over_time(packed, whole(packed, np.arange(N)), 2.0, np.random.default_rng(2))
    assert (np.diff(index.moment) >= 0).all()
    time, instant = np.asarray(packed.moment_time), as_of(packed, index)
    for row in range(0, len(instant), 97):
        mine = np.arange(low[index.patient[row]], high[index.patient[row]])
        assert index.moment[row] == mine[time[mine] <= instant[row]][-1]
    begin, end = time[low[index.patient]], instant + index.follow_up  # one observation a patient
    assert stats.kstest((instant - begin) / (end - begin), "uniform").pvalue > 0.001
    days = (packed.observation_end - time[low]) / DAY
    assert np.abs(np.bincount(index.patient, minlength=N) - 2.0 * days).max() < 4


def test_instants_lie_before_the_next_moment_and_inside_observation(packed: Packed) -> None:
    index = after_moments(packed, whole(packed, np.arange(N)), 2.0, np.random.default_rng(0))
    following = np.append(packed.moment_time, np.iinfo(np.int64).max)[index.moment + 1]
    last = index.moment + 1 == packed.moment_offset[index.patient + 1]
    assert (last | (as_of(packed, index) < following)).all()
    end = packed.observation_end[packed.observation_offset[index.patient]]
    assert (as_of(packed, index) + index.follow_up == end).all()
    # half are drawn at once, and some of the others not at all
    assert 0.5 < (index.elapsed == 0).mean() < 0.7


def test_moments_are_drawn_the_less_densely_the_more_a_patient_has_behind_them(packed: Packed) -> None:
    index = after_moments(packed, whole(packed, np.arange(N)), 400.0, np.random.default_rng(1))
    at_once = index.take(index.elapsed == 0)
    behind = at_once.moment - packed.moment_offset[at_once.patient] - 1
    moments = np.diff(packed.moment_offset) - 1
    for n in (0, 1, 5, 20):
        expected = 200.0 * 64 * np.log1p(1 / (64 + n)) * (moments > n).sum()
        assert (behind == n).sum() == pytest.approx(expected, rel=0.1)


def test_what_comes_after_an_instant_has_no_say_in_whether_it_is_drawn(packed: Packed) -> None:
    """Patients, and their doubles, who fell silent or died from some time on; and windows of any cut."""
    halves = packed.moment_offset[:-1] + np.diff(packed.moment_offset) // 2
    until = np.asarray(packed.moment_time)[halves]
    density = Density(after=3.0, over=0.5)

    def drawn(world: Packed, windows: Windows) -> np.ndarray:
        found = np.zeros(2)
        for seed in range(40):
            index = density.draw(world, windows, np.random.default_rng(seed))
            held = as_of(world, index) < until[index.patient]
            found += held.sum(), (held & (index.elapsed > 0)).sum()
        return found

    silent = _kept(packed, np.asarray(packed.moment_time) <= np.repeat(until, np.diff(packed.moment_offset)))
    died = replace(silent, observation_end=until + 1)
    usual = drawn(packed, whole(packed, np.arange(N)))
    for other in (silent, died):
        assert drawn(other, whole(other, np.arange(N))) == pytest.approx(usual, rel=0.03)
    middle = Windows(np.arange(N), packed.moment_offset[:-1] + 1, halves + 1)
    rest = Windows(np.arange(N), halves + 1, packed.moment_offset[1:])
    rest = rest.take(np.flatnonzero(rest.high > rest.low))
    assert drawn(packed, middle) + drawn(packed, rest) == pytest.approx(usual, rel=0.03)


def _kept(packed: Packed, held: np.ndarray) -> Packed:
    """Keep some moments, without their events."""
    counts = np.add.reduceat(held, packed.moment_offset[:-1])
    return replace(
        packed,
        moment_offset=np.concatenate([[0], np.cumsum(counts)]),
        moment_time=np.asarray(packed.moment_time)[held],
        event_offset=np.zeros(held.sum() + 1, np.int64),
        attachment_offset=np.zeros(held.sum() + 1, np.int64),
    )


def test_as_many_instants_are_drawn_as_were_asked_for_whatever_the_windows(data: Timelines) -> None:
    train = sum(int((data.split(n) == "train").sum()) for n in range(len(data.shards)))
    density = Density.of(data, each=20.0)
    spec, n_drawn = ModelSpec(size="tiny", context=16), 0
    for number, piece in enumerate(plan(data, "train", spec, np.random.default_rng(0))):
        small, windows = cut_out(data.shards[piece.shard], piece)
        n_drawn += len(density.draw(small, windows, np.random.default_rng(number)).moment)
    assert 0.75 < n_drawn / (20.0 * train) <= 1.0  # the others fell on times when something new had come
