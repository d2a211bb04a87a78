"""In: a release's state. Out: the states that may follow, and where each may be opened."""

from enum import StrEnum
from typing import Final, Literal

Place = Literal["loopback", "internal", "outside"]


class State(StrEnum):
    """How far a release has come."""

    PROPOSED = "proposed"
    VALIDATED = "validated"
    SILENT = "silent"
    INTERNAL = "internal"
    RELEASED = "released"
    RETIRED = "retired"


LADDER: Final = (State.PROPOSED, State.VALIDATED, State.SILENT, State.INTERNAL, State.RELEASED)

OPENS_AT: Final[dict[State, frozenset[Place]]] = {
    State.PROPOSED: frozenset(),
    State.VALIDATED: frozenset({"loopback"}),
    State.SILENT: frozenset({"loopback"}),
    State.INTERNAL: frozenset({"loopback", "internal"}),
    State.RELEASED: frozenset({"loopback", "internal", "outside"}),
    State.RETIRED: frozenset(),
}


def next_up(state: State) -> State | None:
    """Give the one state that can be earned from this one; None at the top and for what is retired.

    Example:
        >>> next_up(State.SILENT)
        <State.INTERNAL: 'internal'>
    """
    if state not in LADDER[:-1]:
        return None
    return LADDER[LADDER.index(state) + 1]


def is_below(lower: State, upper: State) -> bool:
    """Say whether an incident may take a release from `upper` back to `lower`."""
    return lower in LADDER and upper in LADDER and LADDER.index(lower) < LADDER.index(upper)
