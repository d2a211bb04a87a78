"""In: an outcome's codes and a model's hazards. Out: the outcome's hazard.

Two rules keep answers coherent, whatever else was asked in the same question:

- A code's hazard is at least that of every code below it, so a parent is never less likely than its child.
- Any of several codes: the sum of their hazards, at most that of their nearest common ancestor. The sum is
  exact where the codes never come in the same moment, and an upper bound else; the ancestor's hazard counts
  such a moment once. 1 − ∏(1 − risk) would assume the codes independent, which diagnoses are not.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import numpy as np
from jaxtyping import Float32, Int64

from residency.contract.codes import DEATH
from residency.contract.packed import UNKNOWN
from residency.contract.questions import Outcome
from residency.timeline import Vocabulary


@dataclass(frozen=True)
class Family:
    """Which codes stand above and below which.

    Attributes:
        vocabulary: of the model.
        targets: codes with a hazard, in the model's order.
    """

    vocabulary: Vocabulary
    targets: tuple[str, ...]

    def above(self, code: int) -> frozenset[int]:
        """The code itself and its ancestors (indices in the vocabulary)."""
        return frozenset((code, *self.vocabulary.ancestors_of(code).tolist()))

    def below(self, code: int) -> Int64[np.ndarray, " code"]:
        """The code itself and its descendants (indices in the vocabulary)."""
        spots = np.flatnonzero(self.vocabulary.ancestor_index == code)
        holders = np.searchsorted(self.vocabulary.ancestor_offset, spots, "right") - 1
        return np.unique(np.append(holders, code)).astype(np.int64)

    def target_of(self) -> dict[int, int]:
        """Where each code with a hazard stands among the targets."""
        place = {self.vocabulary.index_of(code): number for number, code in enumerate(self.targets)}
        return {code: number for code, number in place.items() if code != UNKNOWN}


@dataclass(frozen=True)
class Cause:
    """How an outcome's hazard is made of targets' hazards.

    Attributes:
        outcome: as asked.
        members: for each of its codes: targets of which the largest hazard counts.
        bound: targets of the nearest common ancestor, of which the largest bounds the sum; empty for none.
        history: codes (indices in the vocabulary) that count as the outcome on record.
        is_death: nothing competes.
    """

    outcome: Outcome
    members: tuple[tuple[int, ...], ...]
    bound: tuple[int, ...]
    history: Int64[np.ndarray, " code"]
    is_death: bool

    @property
    def needs(self) -> frozenset[int]:
        """All targets whose hazards are looked at."""
        return frozenset(target for group in (*self.members, self.bound) for target in group)

    def hazard(
        self, hazards: Float32[np.ndarray, "index head target interval"], column: dict[int, int]
    ) -> Float32[np.ndarray, "index head interval"]:
        """Make the outcome's hazard.

        Args:
            hazards: of some targets.
            column: where each target stands in them.
        """
        total = sum(_largest(hazards, column, group) for group in self.members[1:]) + _largest(
            hazards, column, self.members[0]
        )
        if self.bound:
            total = np.minimum(total, _largest(hazards, column, self.bound))
        return np.asarray(total, dtype=np.float32)


def cause_of(outcome: Outcome, family: Family) -> Cause:
    """Find the targets that make up an outcome; `members` is empty where the model has none."""
    place = family.target_of()
    asked = [family.vocabulary.index_of(code) for code in outcome.codes]
    known = [code for code in dict.fromkeys(asked) if code != UNKNOWN]
    history = np.unique(np.concatenate([np.zeros(0, np.int64), *(family.below(code) for code in known)]))
    apart = list(_disjoint([code for one in known for code in _with_hazard(one, family, place)], family))
    members = tuple(_targets_below(code, family, place) for code in apart)
    return Cause(
        outcome=outcome,
        members=members,
        bound=_bound(apart, family, place),
        history=history.astype(np.int64),
        is_death=DEATH in outcome.codes,
    )


def _with_hazard(code: int, family: Family, place: dict[int, int]) -> list[int]:
    """The code, or where it has no hazard those below it that have."""
    return [code] if code in place else [int(child) for child in family.below(code) if int(child) in place]


def _disjoint(codes: list[int], family: Family) -> Iterator[int]:
    """Leave out codes that stand below another one of them."""
    unique = list(dict.fromkeys(codes))
    for code in unique:
        if not (family.above(code) - {code}) & set(unique):
            yield code


def _targets_below(code: int, family: Family, place: dict[int, int]) -> tuple[int, ...]:
    return tuple(sorted(place[int(child)] for child in family.below(code) if int(child) in place))


def _bound(codes: list[int], family: Family, place: dict[int, int]) -> tuple[int, ...]:
    """Targets of the nearest ancestor that all codes share; none for a single code."""
    if len(codes) < 2:
        return ()
    shared = reduce(frozenset.intersection, (family.above(code) for code in codes)) & place.keys()
    if not shared:
        return ()
    nearest = max(shared, key=lambda code: (len(family.above(code)), code))
    return _targets_below(nearest, family, place)


def _largest(
    hazards: Float32[np.ndarray, "index head target interval"], column: dict[int, int], group: tuple[int, ...]
) -> Float32[np.ndarray, "index head interval"]:
    largest: np.ndarray = hazards[:, :, [column[target] for target in group]].max(axis=2)
    return largest
