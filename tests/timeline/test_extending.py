"""Records with something more on them."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from residency.contract.packed import Packed
from residency.timeline import Added, extended, take


def invented(seed: int) -> Packed:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 6))
    moments = rng.integers(1, 5, n)
    events = rng.integers(0, 4, moments.sum())
    time = np.concatenate([np.sort(rng.choice(1000, size, replace=False)) for size in moments])
    total, none = int(events.sum()), np.zeros(n + 1, np.int64)
    return Packed(
        subject=np.arange(n),
        moment_offset=np.concatenate([[0], np.cumsum(moments)]),
        moment_time=time,
        event_offset=np.concatenate([[0], np.cumsum(events)]),
        event_code=rng.integers(1, 9, total).astype(np.int32),
        event_value=rng.random(total).astype(np.float32),
        event_time=np.repeat(time, events),
        event_ref=np.arange(total),
        attachment_offset=np.zeros(moments.sum() + 1, np.int64),
        attachment_kind=np.zeros(0, np.int8),
        attachment_ref=np.zeros(0, np.int64),
        observation_offset=none,
        observation_start=none[:0],
        observation_end=none[:0],
        label_offset=none,
        label_time=none[:0],
        label_task=np.zeros(0, np.int16),
        label_value=np.zeros(0, np.float32),
    )


@given(seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_some_patients_have_one_more_moment_and_nothing_else_has_changed(seed: int) -> None:
    packed, rng = invented(seed), np.random.default_rng(seed)
    row = rng.permutation(packed.n_patients)[: int(rng.integers(1, packed.n_patients + 1))]
    time = rng.integers(2000, 3000, len(row))
    of = np.sort(rng.integers(0, len(row), 5))
    added = Added(of, rng.integers(1, 9, 5), rng.random(5).astype(np.float32))
    longer = extended(packed, row, time, added)
    for patient in range(packed.n_patients):
        before, after = take(packed, np.array([patient])), take(longer, np.array([patient]))
        n, events = before.n_moments, before.n_events
        assert after.moment_time[:n].tolist() == before.moment_time.tolist()
        assert after.event_offset[: n + 1].tolist() == before.event_offset.tolist()
        for name in ("event_code", "event_value", "event_time", "event_ref"):
            assert getattr(after, name)[:events].tolist() == getattr(before, name).tolist()
        new = np.flatnonzero(row == patient)
        assert after.n_moments == n + len(new)
        assert after.moment_time[n:].tolist() == time[new].tolist()
        mine = of == new[0] if len(new) else np.zeros(5, bool)
        pairs = zip(after.event_code[events:].tolist(), after.event_value[events:].tolist(), strict=True)
        told = zip(added.code[mine].tolist(), added.value[mine].tolist(), strict=True)
        assert sorted(pairs) == sorted(told)
        assert (after.event_ref[events:] == -1).all()
        assert after.attachment_offset.shape == (after.n_moments + 1,)


def test_events_of_a_new_moment_lie_in_the_order_of_their_codes() -> None:
    packed = invented(3)
    added = Added(np.array([0, 0, 0]), np.array([7, 2, 5]), np.zeros(3, np.float32))
    longer = extended(packed, np.array([0]), np.array([9_999]), added)
    last = slice(
        longer.event_offset[longer.moment_offset[1] - 1], longer.event_offset[longer.moment_offset[1]]
    )
    assert longer.event_code[last].tolist() == [2, 5, 7]
