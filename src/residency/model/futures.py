"""In: a model, records up to an instant. Out: simulated futures: what may come, when, with which values.

First occurrences are *anchored*: as many of a patient's futures have one as the hazards at the instant asked
about say. Which of them, is shared out from span to span by what each has become: routine codes to those who
drew them moment by moment, others to those that are worse off, and in contact.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from jaxtyping import Bool, Float32, Int64

from residency.contract.errors import QuestionError
from residency.contract.packed import DAY, Packed
from residency.contract.specs import spec
from residency.model.encoders.encoding import Encoded
from residency.model.opened import Model
from residency.model.running import Events, Run, begin
from residency.model.simulating import pass_span
from residency.timeline import take, until

_AT_ONCE: Final = 1_000  # futures that are simulated together
_LOOKS: Final = 64  # at most so many looks within a horizon, beside the ladder's edges
_WEEK: Final = 7.0


@spec
class RolloutSpec:
    """How many futures, how long, and which.

    Attributes:
        horizon_days: where a future ends, if death does not end it before.
        draws: futures of each patient.
        seed: of all draws.
        context: moments that a simulated state looks back on.
    """

    horizon_days: float = 30.0
    draws: int = 20
    seed: int = 0
    context: int = 64

    def __post_init__(self) -> None:
        if not self.horizon_days > 0 or self.draws < 1 or self.context < 2:
            raise ValueError("horizon_days must be above 0, draws 1 or more, context 2 or more")


@dataclass(frozen=True)
class Asked:
    """Whose futures, from when.

    Attributes:
        patient: rows of the timelines.
        as_of: µs; nothing that became available later is looked at.
    """

    patient: Int64[np.ndarray, " index"]
    as_of: Int64[np.ndarray, " index"]


@dataclass(frozen=True)
class Futures:
    """Simulated futures of one patient: events, draw by draw, rising in time.

    Attributes:
        as_of: µs.
        horizon_days: where they end.
        draws: how many futures there are.
        draw: of each event.
        time: after `as_of`, µs.
        code: index in the model's vocabulary.
        value: in the vocabulary's unit; NaN where none.
        died: which futures end in death, which is then their last event.
    """

    as_of: int
    horizon_days: float
    draws: int
    draw: Int64[np.ndarray, " event"]
    time: Int64[np.ndarray, " event"]
    code: Int64[np.ndarray, " event"]
    value: Float32[np.ndarray, " event"]
    died: Bool[np.ndarray, " draw"]

    def had(
        self,
        codes: Int64[np.ndarray, " code"],
        horizon_days: float | None = None,
        *,
        above: float | None = None,
        below: float | None = None,
    ) -> Bool[np.ndarray, " draw"]:
        """Say which futures hold any of some codes.

        Args:
            codes: indices; those below them are not looked for.
            horizon_days: within so many days; the futures' own where None.
            above: only with a value above this.
            below: only with a value below this.
        """
        days = self.horizon_days if horizon_days is None else horizon_days
        mine = np.isin(self.code, codes) & (self.time <= self.as_of + round(days * DAY))
        if above is not None:
            mine &= self.value > above
        if below is not None:
            mine &= self.value < below
        had = np.zeros(self.draws, bool)
        had[self.draw[mine]] = True
        return had


def rollouts(
    model: Model,
    packed: Packed,
    asked: Asked,
    spec: RolloutSpec,
    *,
    encoded: Encoded | None = None,
) -> tuple[Futures, ...]:
    """Simulate futures: the same seed, model and record give the same ones, whoever is asked about beside.

    Beside others, times may differ by what float32 rounds.

    Args:
        model: a frozen model.
        packed: timelines in the model's vocabulary.
        asked: whose futures, from when.
        spec: how many, how long.
        encoded: vectors of the patients' attachments; without, none is looked at.

    Raises:
        QuestionError: the horizon is farther than the model looks.
    """
    if spec.horizon_days > float(model.edges_days[-1]):
        raise QuestionError(
            "a horizon is farther than the model looks",
            where="horizon_days",
            mend=f"at most {float(model.edges_days[-1]):g} days",
        )
    found: list[Futures] = []
    at_once = max(1, _AT_ONCE // spec.draws)
    for start in range(0, len(asked.patient), at_once):
        part = Asked(asked.patient[start : start + at_once], asked.as_of[start : start + at_once])
        found += _simulated(model, packed, part, spec, encoded)
    return tuple(found)


def _simulated(
    model: Model, packed: Packed, asked: Asked, spec: RolloutSpec, encoded: Encoded | None
) -> Iterator[Futures]:
    past = until(take(packed, asked.patient), asked.as_of)
    run = begin(model, past, asked.as_of, (spec.draws, spec.seed, spec.context), encoded)
    for low, high in _looks(model.edges_days, spec.horizon_days):
        pass_span(run, low, high)
    return _futures(run, asked, spec)


def _looks(edges_days: np.ndarray, horizon_days: float) -> Iterator[tuple[float, float]]:
    """Give the spans between looks: the ladder's, cut where they are long."""
    longest = max(_WEEK, horizon_days / _LOOKS)
    edges = [*edges_days[edges_days < horizon_days].tolist(), horizon_days]
    for low, high in pairwise(edges):
        n = max(1, int(np.ceil((high - low) / longest)))
        inner = np.linspace(low, high, n + 1)
        yield from pairwise(inner.tolist())


def _futures(run: Run, asked: Asked, spec: RolloutSpec) -> Iterator[Futures]:
    future, time, code, value = Events.of(run.came)
    for place, as_of in enumerate(asked.as_of):
        mine = slice(*np.searchsorted(future, [place * spec.draws, (place + 1) * spec.draws]))
        yield Futures(
            as_of=int(as_of),
            horizon_days=spec.horizon_days,
            draws=spec.draws,
            draw=future[mine] - place * spec.draws,
            time=time[mine],
            code=code[mine],
            value=value[mine],
            died=~run.alive[place * spec.draws : (place + 1) * spec.draws],
        )
