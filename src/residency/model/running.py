"""In: records up to an instant. Out: futures under way: what is on their records, what their states say."""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor

from residency.contract.packed import DAY, STATIC, Packed
from residency.model.anchors import Anchors, anchors_of
from residency.model.encoders.encoding import Encoded
from residency.model.inputs import Windows
from residency.model.opened import Model
from residency.model.states import States
from residency.timeline import take

_ROWS: Final = 16_384  # rows that the trunk reads at a time


class Events(NamedTuple):
    """What came: future, µs, code, value."""

    future: Int64[np.ndarray, " event"]
    time: Int64[np.ndarray, " event"]
    code: Int64[np.ndarray, " event"]
    value: Float32[np.ndarray, " event"]

    @classmethod
    def of(cls, parts: "list[Events]") -> "Events":
        """Put parts together, by future, time and code."""
        nothing = np.zeros(0, np.int64)
        none = cls(nothing, nothing, nothing, np.zeros(0, np.float32))
        every = cls(*(np.concatenate(part) for part in zip(none, *parts, strict=True)))
        return every.take(np.lexsort((every.code, every.time, every.future)))

    def take(self, keep: np.ndarray) -> "Events":
        """Give some of them."""
        return Events(*(part[keep] for part in self))


@dataclass
class Run:
    """Futures under way, patient by patient.

    Attributes:
        model: that says what comes.
        anchors: targets whose next occurrences come by the hazards at the start.
        encoded: vectors of attachments.
        context: moments that a state looks back on.
        packed: one record a future.
        patient: whose each is.
        head: whose hazards each lives by.
        start: µs.
        now: days since the start.
        alive: whether death has not come.
        fired: anchors that have occurred since the start.
        never: anchors that a patient never had by the start.
        marginal: hazards at the start, by patient and head: each anchor's own.
        chance: draws of each future.
        seen: what each future's own state says.
        came: parts of what has come.
    """

    model: Model
    anchors: Anchors
    encoded: Encoded | None
    context: int
    packed: Packed
    patient: Int64[np.ndarray, " future"]
    head: Int64[np.ndarray, " future"]
    start: Int64[np.ndarray, " future"]
    now: Float64[np.ndarray, " future"]
    alive: Bool[np.ndarray, " future"]
    fired: Bool[np.ndarray, "future anchor"]
    never: Bool[np.ndarray, "patient anchor"]
    marginal: Float32[np.ndarray, "patient head anchor interval"]
    chance: list[np.random.Generator]
    seen: "Seen"
    came: list[Events]

    def micro(self, rows: np.ndarray, days: np.ndarray) -> Int64[np.ndarray, " chosen"]:
        """Give times in µs."""
        result: np.ndarray = self.start[rows] + np.maximum(np.ceil(days * DAY), 1).astype(np.int64)
        return result

    def uniform(self, rows: np.ndarray, n: int) -> Float64[np.ndarray, "chosen n"]:
        """Draw numbers of each future's own."""
        drawn = [self.chance[row].random(n) for row in rows]
        return np.stack(drawn) if drawn else np.zeros((0, n))


@dataclass
class Seen:
    """What each future's last moment says of what comes after it.

    Attributes:
        z: its state.
        panel: what stood in the record.
        routine: hazard of the next routine moment.
        at: when the moment was, in days since the start; before that at first.
    """

    z: Float32[Tensor, "future width"]
    panel: Float32[Tensor, "future 4 panel"]
    routine: Float32[np.ndarray, "future interval"]
    at: Float64[np.ndarray, " future"]

    def copy(self) -> "Seen":
        """Keep what is seen now."""
        return Seen(self.z.clone(), self.panel.clone(), self.routine.copy(), self.at.copy())


def begin(
    model: Model,
    past: Packed,
    as_of: Int64[np.ndarray, " patient"],
    how: tuple[int, int, int],
    encoded: Encoded | None,
) -> Run:
    """Begin futures of patients whose records end at `as_of`.

    Args:
        model: a frozen model.
        past: one patient an instant, cut there.
        as_of: µs.
        how: futures of each, seed, and moments that a state looks back on.
        encoded: vectors of attachments.
    """
    draws, seed, context = how
    n, anchors = past.n_patients, anchors_of(model)
    states = model.encode(past, encoded=encoded)
    never = model.never(past, np.arange(n), as_of, anchors.target)
    hazards = model.hazards(states, states.offset[1:] - 1, _since(past, as_of), anchors.target, never)
    patient = np.repeat(np.arange(n), draws)
    size, panel = len(patient), states.record.panel.shape[2]
    n_intervals = len(model.edges_days) - 1
    return Run(
        model=model,
        anchors=anchors,
        encoded=encoded,
        context=context,
        packed=take(past, patient),
        patient=patient,
        head=np.tile(np.arange(draws) % model.n_heads, n),
        start=as_of[patient],
        now=np.zeros(size),
        alive=np.ones(size, bool),
        fired=np.zeros((size, len(anchors)), bool),
        never=never,
        marginal=anchors.own(hazards),
        chance=[np.random.default_rng([seed, number]) for _ in range(n) for number in range(draws)],
        seen=Seen(
            torch.zeros(size, states.z.shape[1]),
            torch.zeros(size, 4, panel),
            np.zeros((size, n_intervals), np.float32),
            np.zeros(size),
        ),
        came=[],
    )


def look(
    run: Run, rows: Int64[np.ndarray, " chosen"], *, hazards: bool
) -> Float32[np.ndarray, "chosen anchor interval"]:
    """Read the records of some futures: keep what their states say, and give their hazards where wanted."""
    n_parts = -(-len(rows) * (run.context + 1) // _ROWS)
    found = [_look_at(run, part, hazards=hazards) for part in np.array_split(rows, n_parts)]
    return np.concatenate(found)


def _look_at(
    run: Run, rows: Int64[np.ndarray, " chosen"], *, hazards: bool
) -> Float32[np.ndarray, "chosen anchor interval"]:
    model, seen, at = run.model, run.seen, torch.from_numpy(rows)
    small = take(run.packed, rows)
    end, begin = small.moment_offset[1:], small.moment_offset[:-1] + 1
    windows = Windows(np.arange(len(rows)), np.maximum(begin, end - run.context + 1), end)
    offset = np.concatenate([[0], np.cumsum(windows.length)])
    last, elapsed = offset[1:] - 1, _since(small, run.start[rows] + (run.now[rows] * DAY).astype(np.int64))
    with torch.inference_mode():
        _, inputs = model.reader.read(small, windows, encoded=run.encoded)
        states = States.of_all(model.network(inputs), model.network.record(inputs), offset)
        z = model.network.waiting(states.z[torch.from_numpy(last)], torch.zeros(len(last)))
        seen.z[at], seen.panel[at] = z, states.record.panel[torch.from_numpy(last)]
        seen.at[rows] = run.now[rows] - elapsed
        if len(model.routine):
            seen.routine[rows] = model.network.future.log_rate(z).exp().numpy()
    if not hazards:
        return np.zeros((len(rows), 0, 0), np.float32)
    never = run.never[run.patient[rows]] & ~run.fired[rows]
    said = model.hazards(states, last, elapsed, run.anchors.target, never).mean(axis=1)
    own: np.ndarray = run.anchors.own(said)
    return own


def _since(packed: Packed, time: Int64[np.ndarray, " patient"]) -> Float32[np.ndarray, " patient"]:
    """Give the days since each patient's last moment; 0 where it has no time."""
    last = np.asarray(packed.moment_time[packed.moment_offset[1:] - 1])
    since = np.where(last == STATIC, 0, time - np.where(last == STATIC, 0, last)) / DAY
    return np.maximum(since, 0.0).astype(np.float32)
