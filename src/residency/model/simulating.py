"""In: many futures of some patients up to now. Out: the same some days later: what came is on their record.

A span goes in three steps. The generative head draws the routine moments one after the other, each from the
state that knows those before it. What it drew is held to the hazards: where more of a patient's futures had
a routine code for the first time than its hazard says, some lose it, and where fewer, some are given it.
Then the other codes are shared out: each is had by as many of a patient's futures as its hazard says, rather
by the worse off, by those in contact, at one of their moments.
"""

from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64

from residency.contract.packed import DAY, Packed
from residency.model.generative import VALUE_BINS, Results
from residency.model.measuring import values_at
from residency.model.outcomes import ABSENT
from residency.model.routine import slots_of
from residency.model.running import Events, Run, Seen, look
from residency.timeline import Added, extended

_ALONE: Final = 0.02  # how readily something comes to who is not in contact, against who is
_HALVINGS: Final = 50


def pass_span(run: Run, low: float, high: float) -> None:
    """Let every future live from `low` to `high`, days since the start, within an interval of the ladder."""
    rows = np.flatnonzero(run.alive)
    if not len(rows):
        return
    before = run.packed
    edges = run.model.edges_days
    spent = np.clip(high - low - edges[:-1], 0, np.diff(edges)).astype(np.float32)
    local = look(run, rows, hazards=True) @ spent  # what each future's own state expects
    begun = run.seen.copy()
    routine = _contacts(run, rows, high)
    held = _held(run, rows, local, (low, high), routine)
    routine = routine.take(held.keeps)
    due = -np.expm1(-_between(begun, rows, edges, (low, high)))
    comes = held.adds | _fires(run, rows, local, (low, high), (np.isin(rows, routine.future), due))
    future, place = rows[comes.nonzero()[0]], comes.nonzero()[1]
    time = _times(run, future, place, (low, high), routine)
    code = np.maximum(run.anchors.code[place], 0)
    hours = ((time - run.start[future]) / DAY - begun.at[future]) * 24
    anchored = Events(future, time, code, _values(run, begun, future, hours, code))
    _settle(run, before, Events.of([routine, anchored]), future[place == 0], time[place == 0])
    run.fired[rows] |= (comes | held.had) @ run.anchors.upward


def _settle(run: Run, before: Packed, every: Events, dead: np.ndarray, died: np.ndarray) -> None:
    """Put what came on record, up to a death; both by future."""
    end = np.full(len(run.alive), np.iinfo(np.int64).max)
    end[dead] = died
    kept = every.take(every.time <= end[every.future])
    run.alive[dead] = False
    run.came.append(kept)
    fresh = np.ones(len(kept.time), bool)
    fresh[1:] = (kept.future[1:] != kept.future[:-1]) | (kept.time[1:] != kept.time[:-1])
    moment = np.cumsum(fresh) - 1
    future, time = kept.future[fresh], kept.time[fresh]
    number = np.arange(len(future)) - np.searchsorted(future, future)
    packed = before
    for step in range(int(number.max(initial=-1)) + 1):
        now = np.flatnonzero(number == step)
        mine = np.isin(moment, now)
        added = Added(np.searchsorted(now, moment[mine]), kept.code[mine], kept.value[mine])
        packed = extended(packed, future[now], time[now], added)
    run.packed = packed


def _contacts(run: Run, rows: Int64[np.ndarray, " chosen"], high: float) -> Events:
    """Draw routine moments, each from a state that knows those before; all are at `high` then."""
    came: list[Events] = []
    while len(rows):
        # on the clock of the last moment: of long silence itself there is little to learn from
        need = _upto(run.seen, rows, run.model.edges_days, run.now[rows])
        need += np.array([run.chance[row].standard_exponential() for row in rows])
        wait = waits(run.seen.routine[rows], run.model.edges_days, need)
        then = np.maximum(run.seen.at[rows] + wait, run.now[rows])
        inside = then < high
        run.now[rows[~inside]] = high
        rows, wait, then = rows[inside], wait[inside], then[inside]
        if not len(rows):
            break
        last = np.asarray(run.packed.moment_time[run.packed.moment_offset[rows + 1] - 1])
        time = np.maximum(run.micro(rows, then), np.maximum(last, run.start[rows]) + 1)
        of, code = _routine(run, rows, wait)
        value = _values(run, run.seen, rows[of], wait[of] * 24, code)
        came.append(Events(rows[of], time[of], code, value))
        run.packed = extended(run.packed, rows, time, Added(of, code, value))
        run.now[rows] = then
        look(run, rows, hazards=False)
    return Events.of(came)


def _upto(
    seen: Seen, rows: Int64[np.ndarray, " chosen"], edges_days: np.ndarray, days: np.ndarray | float
) -> Float64[np.ndarray, " chosen"]:
    """Give what has been spent of the hazard of a routine moment by a time, without one having come."""
    since = np.asarray(days) - seen.at[rows]
    inside = np.clip(since[:, None] - edges_days[:-1], 0, np.diff(edges_days))
    result: np.ndarray = (seen.routine[rows] * inside).sum(axis=1)
    return result


def _between(
    seen: Seen, rows: Int64[np.ndarray, " chosen"], edges_days: np.ndarray, span: tuple[float, float]
) -> Float64[np.ndarray, " chosen"]:
    """Give what would be spent within a span."""
    low, high = (_upto(seen, rows, edges_days, days) for days in span)
    spent: np.ndarray = high - low
    return spent


class Held(NamedTuple):
    """How routine codes are held to their hazards.

    Attributes:
        keeps: which of the drawn events stay.
        adds: codes given to futures that had not drawn them.
        had: codes that futures have in the span.
    """

    keeps: Bool[np.ndarray, " event"]
    adds: Bool[np.ndarray, "chosen anchor"]
    had: Bool[np.ndarray, "chosen anchor"]


def _held(
    run: Run,
    rows: Int64[np.ndarray, " chosen"],
    local: Float32[np.ndarray, "chosen anchor"],
    span: tuple[float, float],
    routine: Events,
) -> Held:
    """Hold the first occurrences of routine codes to the hazards; a code's later ones are as drawn.

    One number of each future's own decides on all its codes, so that what was drawn together stays, and goes,
    together.
    """
    anchors = run.anchors
    at = np.flatnonzero(anchors.routine)
    place = np.append(at, ABSENT)[slots_of(anchors.code[at], len(run.model.vocabulary))[routine.code]]
    row, known = np.searchsorted(rows, routine.future), place != ABSENT
    drawn = np.zeros((len(rows), len(anchors)), bool)
    drawn[row[known], place[known]] = True
    had = drawn.copy()
    ready = -np.expm1(-local[:, at]) * np.where(drawn.any(axis=1), 1.0, _ALONE)[:, None]
    first = _first(run, rows, at, span, np.where(drawn[:, at], 1.0, _ALONE * ready))
    had[:, at] = np.where(run.fired[np.ix_(rows, at)], drawn[:, at], run.uniform(rows, 1) < first)
    return Held(had[row, place] | ~known, had & ~drawn, had)


def _fires(
    run: Run,
    rows: Int64[np.ndarray, " chosen"],
    local: Float32[np.ndarray, "chosen anchor"],
    span: tuple[float, float],
    contact: tuple[Bool[np.ndarray, " chosen"], Float64[np.ndarray, " chosen"]],
) -> Bool[np.ndarray, "chosen anchor"]:
    """Draw which anchors that are not routine come to which futures within a span.

    Args:
        run: the futures.
        rows: those who live.
        local: what each future's own state expects within it.
        span: in days since the start.
        contact: who has a routine moment in the span, and how likely that was.
    """
    there, due = contact
    at = np.flatnonzero(~run.anchors.routine)
    local = local[:, at]
    readiness = np.where(there[:, None], 1.0, _ALONE) * np.ones(len(at))
    readiness[:, 0] = 1.0  # death asks for no contact
    first = _first(run, rows, at, span, local * readiness)
    again = -np.expm1(-local * (there / np.maximum(due, _ALONE))[:, None])
    comes = np.zeros(run.fired[rows].shape, bool)
    comes[:, at] = run.uniform(rows, len(at)) < np.where(run.fired[np.ix_(rows, at)], again, first)
    return comes


def _first(
    run: Run,
    rows: Int64[np.ndarray, " chosen"],
    at: Int64[np.ndarray, " some"],
    span: tuple[float, float],
    weight: Float64[np.ndarray, "chosen some"],
) -> Float64[np.ndarray, "chosen some"]:
    """Give how likely some anchors come to each future for the first time: the hazards' sum, by weight."""
    low, high = span
    group = run.patient[rows]
    interval = int(np.searchsorted(run.model.edges_days, low, "right")) - 1
    marginal = run.marginal[group, run.head[rows], :, interval][:, at] * (high - low)
    return shared(marginal, weight, ~run.fired[np.ix_(rows, at)], group)


def shared(
    marginal: Float[np.ndarray, "future anchor"],
    weight: Float[np.ndarray, "future anchor"],
    free: Bool[np.ndarray, "future anchor"],
    group: Int64[np.ndarray, " future"],
) -> Float[np.ndarray, "future anchor"]:
    """Share the chance of each event out among the futures of a patient, by weight; its sum stays.

    Args:
        marginal: what would be spent of the hazard by each, were all alike.
        weight: how much likelier it is for one than for another.
        free: who has not had it.
        group: whose each future is, rising.

    Example:
        >>> even, group = np.full((2, 1), 0.5), np.zeros(2, np.int64)
        >>> shared(even, np.array([[1.0], [0.0]]), even > 0, group).sum().round(3).item()
        0.787
    """
    start = np.flatnonzero(np.append(True, group[1:] != group[:-1]))
    of = np.cumsum(np.append(False, group[1:] != group[:-1]))
    wanted = np.add.reduceat(-np.expm1(-marginal) * free, start)
    total, n = np.add.reduceat(weight * free, start), np.add.reduceat(free * 1.0, start)
    mean = (total / np.maximum(n, 1.0))[of]
    relative = np.divide(weight, mean, out=np.ones_like(marginal, np.float64), where=mean > 0)
    relative = np.maximum(relative, 1e-3) * marginal  # so that what the weighty cannot hold has a place
    low, high = np.full(wanted.shape, -20.0), np.full(wanted.shape, 20.0)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        said = np.add.reduceat(-np.expm1(-relative * np.exp(middle)[of]) * free, start)
        low, high = np.where(said < wanted, middle, low), np.where(said < wanted, high, middle)
    result: np.ndarray = -np.expm1(-relative * np.exp((low + high) / 2)[of])
    return result


def _times(
    run: Run, future: np.ndarray, place: np.ndarray, span: tuple[float, float], routine: Events
) -> Int64[np.ndarray, " event"]:
    """Give when each anchored code comes: at one of its future's routine moments, or alone."""
    low, high = span
    drawn = np.array([run.chance[one].random() for one in future])
    first = run.micro(future, np.full(len(future), low)) + 1
    # routine codes of a future out of contact come at once: one visit
    apart = np.where(run.anchors.routine[place], drawn[np.searchsorted(future, future)], drawn)
    alone = np.maximum(run.micro(future, low + apart * (high - low)), first)
    begin, end = (np.searchsorted(routine.future, future, side) for side in ("left", "right"))
    at = np.minimum(begin + (drawn * (end - begin)).astype(np.int64), max(len(routine.time) - 1, 0))
    if not len(routine.time):
        only: np.ndarray = alone
        return only
    together = (end > begin) & (place != 0)
    result: np.ndarray = np.where(together, routine.time[at], alone)
    return result


def waits(
    hazard: Float32[np.ndarray, "future interval"],
    edges_days: Float64[np.ndarray, " edge"],
    need: Float64[np.ndarray, " future"],
) -> Float64[np.ndarray, " future"]:
    """Give when a piecewise-constant hazard has added up to what each needs; infinity where it never does.

    Example:
        >>> waits(np.array([[1.0, 2.0]], np.float32), np.array([0.0, 1.0, 3.0]), np.array([2.0])).tolist()
        [1.5]
    """
    spent = hazard.astype(np.float64) * np.diff(edges_days)
    upto = np.cumsum(spent, axis=1)
    at = (upto < need[:, None]).sum(axis=1)
    inside = np.minimum(at, hazard.shape[1] - 1)
    row = np.arange(len(need))
    left = need - (upto - spent)[row, inside]
    days = edges_days[inside] + left / np.maximum(hazard[row, inside].astype(np.float64), 1e-300)
    result: np.ndarray = np.where(at < hazard.shape[1], days, np.inf)
    return result


def _drawn(run: Run, rows: np.ndarray, weight: np.ndarray) -> Int64[np.ndarray, " chosen"]:
    """Draw a column of each row by its weights."""
    upto = np.cumsum(weight, axis=1, dtype=np.float64)
    level = run.uniform(rows, 1) * upto[:, -1:]
    at: np.ndarray = (upto <= level).sum(axis=1)
    result: np.ndarray = np.minimum(at, weight.shape[1] - 1)
    return result


def _routine(run: Run, rows: np.ndarray, wait: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draw the codes of routine moments: the rarest, then those that come with it."""
    head, z = run.model.network.future, run.seen.z[torch.from_numpy(rows)]
    hours = torch.from_numpy((wait * 24).astype(np.float32))
    with torch.inference_mode():
        lead = _drawn(run, rows, torch.softmax(head.lead(z, hours), dim=1).numpy())
        comes = torch.sigmoid(head.company(z, hours, torch.from_numpy(lead))).numpy()
    held = run.uniform(rows, comes.shape[1]) < comes
    held[np.arange(len(rows)), lead] = True
    at, slot = np.nonzero(held)
    return at, run.model.routine[slot]


def _values(
    run: Run, seen: Seen, rows: np.ndarray, hours: np.ndarray, code: np.ndarray
) -> Float32[np.ndarray, " event"]:
    """Draw values of the codes that have some, so many hours after what was seen."""
    model = run.model
    place = np.searchsorted(model.valued, code)
    some = np.flatnonzero(np.append(model.valued, -1)[place] == code)
    value = np.full(len(code), np.nan, np.float32)
    if not len(some):
        return value
    at, tensor = rows[some], torch.from_numpy
    asked = Results(
        row=torch.arange(len(some)),
        hours=tensor(hours[some].astype(np.float32)),
        code=tensor(place[some]),
        slot=tensor(model.reader.layout.slot[code[some]]),
        what=torch.zeros(len(some), dtype=torch.int64),
    )
    with torch.inference_mode():
        logits = model.network.future.values(seen.z[tensor(at)], seen.panel[tensor(at)], asked)
    bins = _drawn(run, at, torch.softmax(logits, dim=1).numpy())
    inside = run.uniform(at, 1)[:, 0]
    held = bins < VALUE_BINS
    value[some[held]] = values_at(model.vocabulary, code[some[held]], (bins + inside)[held] / VALUE_BINS)
    return value
