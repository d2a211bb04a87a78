"""In: an outcome's codes and a model's hazards. Out: the outcome's hazard, and of what ends its window.

Two rules keep answers coherent, whatever else was asked in the same question:

- A code's hazard is at least that of every code below it, so a parent is never less likely than its child.
- Any of several codes: what the codes have each to themselves adds up; of the moments that they share, the
  code that comes most counts. What stands below a common parent counts no more than the parent. So a single
  code is itself, a larger set is never less likely, and a set lies between its likeliest code and the sum.
  1 − ∏(1 − risk) would assume the codes independent, which diagnoses are not.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from residency.contract.packed import UNKNOWN
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
class Node:
    """A code of a set, or a parent that several of the set's codes stand below.

    Attributes:
        group: targets of the code and of all below it, of which the largest hazard counts.
        children: that stand below; none of a code that was asked for.
    """

    group: tuple[int, ...]
    children: "tuple[Node, ...]" = ()

    @property
    def targets(self) -> frozenset[int]:
        """All targets that are looked at."""
        return frozenset(self.group).union(*(child.targets for child in self.children))

    @property
    def asked(self) -> frozenset[int]:
        """Targets of the codes asked for, and of all below them."""
        return frozenset().union(*(child.asked for child in self.children)) if self.children else self.targets

    def total(
        self, hazards: Float32[np.ndarray, "index head target interval"], column: dict[int, int]
    ) -> Float32[np.ndarray, "index head interval"]:
        """Add up the children, as far as the parent's own hazard allows."""
        own = _largest(hazards, column, self.group)
        if not self.children:
            return own
        held: np.ndarray = np.minimum(own, sum_of(self.children, hazards, column))
        return held


def sum_of(
    nodes: "tuple[Node, ...]",
    hazards: Float32[np.ndarray, "index head target interval"],
    column: dict[int, int],
) -> Float32[np.ndarray, "index head interval"]:
    """Add up what does not stand below each other."""
    totals = np.stack([node.total(hazards, column) for node in nodes])
    added: np.ndarray = np.asarray(totals.sum(axis=0), np.float32)
    return added


@dataclass(frozen=True)
class Cause:
    """How an outcome's hazard is made of targets' hazards.

    Attributes:
        nodes: its codes, put together below the parents that they share; empty where the model has none.
        history: codes (indices in the vocabulary) that count as the outcome on record.
    """

    nodes: tuple[Node, ...]
    history: Int64[np.ndarray, " code"]

    @property
    def needs(self) -> frozenset[int]:
        """All targets whose hazards are looked at."""
        return frozenset[int]().union(*(node.targets for node in self.nodes))

    def hazard(
        self,
        hazards: Float32[np.ndarray, "index head target interval"],
        column: dict[int, int],
        shared: Float32[np.ndarray, "target kind"],
    ) -> Float32[np.ndarray, "index head interval"]:
        """Make the outcome's hazard.

        Args:
            hazards: of some targets.
            column: where each target stands in them.
            shared: of each of them the share of moments that are its own, and of those of each kind.
        """
        bounded = sum_of(self.nodes, hazards, column)
        if len(self.nodes) == 1 and not self.nodes[0].children:
            return bounded
        apart, *kinds = shared.T[:, None, None, :, None]
        asked = [column[target] for target in sorted(frozenset[int]().union(*(n.asked for n in self.nodes)))]
        joined = sum_of(self.nodes, hazards * apart, column)
        for kind in kinds:
            joined += (hazards[:, :, asked] * kind[:, :, asked]).max(axis=2)
        held: np.ndarray = np.minimum(bounded, joined)
        return held


def cause_of(codes: tuple[str, ...], family: Family) -> Cause:
    """Find the targets that make up any of some codes."""
    place = family.target_of()
    asked = [family.vocabulary.index_of(code) for code in codes]
    known = [code for code in dict.fromkeys(asked) if code != UNKNOWN]
    history = np.unique(np.concatenate([np.zeros(0, np.int64), *(family.below(code) for code in known)]))
    apart = list(_disjoint([code for one in known for code in _with_hazard(one, family, place)], family))
    return Cause(tuple(_nodes(apart, family, place)), history.astype(np.int64))


def _with_hazard(code: int, family: Family, place: dict[int, int]) -> list[int]:
    """The code, or where it has no hazard those below it that have."""
    return [code] if code in place else [int(child) for child in family.below(code) if int(child) in place]


def _disjoint(codes: list[int], family: Family) -> Iterator[int]:
    """Leave out codes that stand below another one of them."""
    unique = list(dict.fromkeys(codes))
    for code in unique:
        if not (family.above(code) - {code}) & set(unique):
            yield code


def _nodes(codes: list[int], family: Family, place: dict[int, int]) -> Iterator[Node]:
    """Put codes below the highest parents that have a hazard and hold several of them, and so on."""
    left = list(codes)
    while left:
        first = left[0]
        parents = [one for one in family.above(first) - {first} if one in place]
        held = {one: [code for code in left if one in family.above(code)] for one in parents}
        several = [one for one in parents if len(held[one]) > 1]
        if not several:
            yield Node(_targets_below(first, family, place))
            left.remove(first)
            continue
        top = min(several, key=lambda one: (len(family.above(one)), -len(held[one]), one))
        yield Node(_targets_below(top, family, place), tuple(_below(top, held[top], family, place)))
        left = [code for code in left if code not in held[top]]


def _below(top: int, codes: list[int], family: Family, place: dict[int, int]) -> Iterator[Node]:
    """Put the codes below a parent together, the parent itself and what stands above it left out."""
    inner = {code: target for code, target in place.items() if code not in family.above(top)}
    yield from _nodes(codes, family, inner)


def _targets_below(code: int, family: Family, place: dict[int, int]) -> tuple[int, ...]:
    return tuple(sorted(place[int(child)] for child in family.below(code) if int(child) in place))


def _largest(
    hazards: Float32[np.ndarray, "index head target interval"], column: dict[int, int], group: tuple[int, ...]
) -> Float32[np.ndarray, "index head interval"]:
    largest: np.ndarray = hazards[:, :, [column[target] for target in group]].max(axis=2)
    return largest
