"""What followed an instant, against a slow search; exposure against a hand-worked case."""

import numpy as np
import pytest

from residency.contract.packed import DAY, Packed
from residency.model import ModelSpec
from residency.model.inputs import whole
from residency.model.instants import after_moments
from residency.model.marginals import Marginals, marginals
from residency.model.outcomes import (
    Followed,
    Index,
    edges_up_to,
    exposure,
    follow,
    interval_of,
    labelled,
    never_had,
)
from residency.timeline import Timelines, occurrences, take


@pytest.fixture(scope="module")
def found(data: Timelines) -> Marginals:
    return marginals(data, ModelSpec(size="tiny", min_patients=10))


@pytest.fixture(scope="module")
def drawn(data: Timelines) -> tuple[Packed, Index]:
    packed = take(data.shards[0], np.arange(40))
    return packed, after_moments(packed, whole(packed, np.arange(40)), 1.0, np.random.default_rng(0))


def _slow(packed: Packed, index: Index, found: Marginals) -> set[tuple[int, int, int]]:
    targets, result = found.targets, set()
    for row in range(len(index.moment)):
        as_of = int(packed.moment_time[index.moment[row]] + index.elapsed[row])
        waiting: dict[int, int] = {}
        for moment in range(int(index.moment[row]) + 1, int(packed.moment_offset[index.patient[row] + 1])):
            for code in packed.event_code[packed.event_offset[moment] : packed.event_offset[moment + 1]]:
                for target in targets.link[targets.link_offset[code] : targets.link_offset[code + 1]]:
                    waiting.setdefault(int(target), int(packed.moment_time[moment]) - as_of)
        end = min(waiting.get(0, 1 << 62), int(index.follow_up[row]))
        result |= {(row, target, wait) for target, wait in waiting.items() if wait <= end}
    return result


def test_next_occurrences_are_what_a_slow_search_finds(drawn: tuple[Packed, Index], found: Marginals) -> None:
    packed, index = drawn
    followed = follow(packed, index, found.targets)
    fast = set(zip(followed.row.tolist(), followed.target.tolist(), followed.wait.tolist(), strict=True))
    assert len(fast) == len(followed.row) > 1000
    assert fast == _slow(packed, index, found)


def test_a_parent_follows_no_later_than_its_child(
    drawn: tuple[Packed, Index], found: Marginals, data: Timelines
) -> None:
    packed, index = drawn
    followed = follow(packed, index, found.targets)
    codes = [data.vocabulary.codes[c] if c >= 0 else "" for c in found.targets.code]
    child, parent = codes.index("ICD10CM/N18.3"), codes.index("ICD10CM/N18")
    waits = [
        dict(zip(followed.row[followed.target == t], followed.wait[followed.target == t], strict=True))
        for t in (child, parent)
    ]
    assert waits[0]
    assert all(waits[1][row] <= wait for row, wait in waits[0].items())


def test_death_is_the_first_target_and_ends_what_follows(
    drawn: tuple[Packed, Index], found: Marginals
) -> None:
    packed, index = drawn
    followed = follow(packed, index, found.targets)
    dead = followed.row[followed.target == 0]
    assert len(dead) > 0
    assert (followed.index.follow_up[dead] == followed.wait[followed.target == 0]).all()


def test_a_patient_has_never_had_what_no_earlier_moment_holds(
    drawn: tuple[Packed, Index], found: Marginals
) -> None:
    packed, index = drawn
    targets = found.targets
    columns = np.arange(len(targets))
    followed = follow(packed, index, targets)
    as_of = packed.moment_time[index.moment] + index.elapsed
    never = never_had(followed.found, index.patient, as_of, columns)
    assert (never[followed.row, followed.target] == followed.first).all()
    for row in range(0, len(index.moment), 7):
        first, last = int(packed.moment_offset[index.patient[row]]), int(index.moment[row])
        codes = packed.event_code[packed.event_offset[first] : packed.event_offset[last + 1]]
        had = {
            int(t) for c in codes for t in targets.link[targets.link_offset[c] : targets.link_offset[c + 1]]
        }
        assert set(np.flatnonzero(~never[row]).tolist()) == had
    assert 0 < never.mean() < 1


def test_exposure_is_the_time_until_the_event_or_the_end(
    drawn: tuple[Packed, Index], found: Marginals
) -> None:
    index = Index(np.zeros(1, int), np.zeros(1, int), np.zeros(1, int), np.array([10 * DAY]))
    link = found.targets.link_offset, found.targets.link
    held = occurrences(drawn[0], *link, len(found.targets))
    followed = Followed(index, np.array([0]), np.array([2]), np.array([4 * DAY]), np.array([True]), held)
    edges = np.array([0, 1, 7, 30]) * DAY
    days = exposure(followed, edges, np.array([1, 2]), 3)
    assert days.tolist() == [[[1.0, 6.0, 3.0], [1.0, 3.0, 0.0]]]


def test_a_wait_falls_in_the_interval_that_it_ends_in() -> None:
    edges = np.array([0, 10, 20])
    assert interval_of(np.array([1, 10, 11, 20, 21]), edges).tolist() == [0, 0, 1, 1, 2]


def test_intervals_reach_no_further_than_the_follow_up() -> None:
    assert edges_up_to(2.0)[-1] == 2.0
    assert edges_up_to(100_000.0)[-1] == 3652.5
    assert edges_up_to(0.0).tolist()[0] == 0.0
    assert len(edges_up_to(0.0)) == 3


def test_marginal_rates_are_events_over_days(found: Marginals) -> None:
    assert np.isfinite(found.bias).all()
    assert found.prior[0] == pytest.approx(0.4, abs=0.15)
    assert found.targets.link.max() == len(found.targets) - 1


def test_labels_lie_on_the_last_moment_known_at_their_time(data: Timelines) -> None:
    packed = data.shards[0]
    labels = labelled(packed)
    time = packed.moment_time[labels.moment]
    assert len(labels.moment) == len(packed.label_time)
    assert (time + labels.elapsed == packed.label_time).all()
    assert (labels.elapsed == DAY // 24).all()
