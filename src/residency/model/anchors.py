"""In: hazards of a model's targets. Out: hazards of the codes that a future may hold, each counted once."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float32, Int64

from residency.model.opened import Model
from residency.model.outcomes import ABSENT

_NONE: Final = -1


@dataclass(frozen=True)
class Anchors:
    """Targets whose next occurrences come by hazard: all but what only stands above routine ones.

    Attributes:
        target: index among the model's targets, deepest last; death first.
        code: of each, in the vocabulary.
        above: place of the nearest one above each; −1 for none.
        upward: the places of each and of all above it.
        routine: which of them come moment by moment, and are then held to their hazards.
    """

    target: Int64[np.ndarray, " anchor"]
    code: Int64[np.ndarray, " anchor"]
    above: Int64[np.ndarray, " anchor"]
    upward: Bool[np.ndarray, "anchor anchor"]
    routine: Bool[np.ndarray, " anchor"]

    def __len__(self) -> int:
        return len(self.target)

    def own(self, hazard: Float32[np.ndarray, "*batch anchor interval"]) -> np.ndarray:
        """Give what is each code's own: a parent's hazard holds its children's, and is at least the greatest.

        What the children do not explain comes as the parent itself.
        """
        whole = hazard.copy()
        children = np.zeros_like(whole)
        for place in range(len(self) - 1, -1, -1):
            above = self.above[place]
            if above != _NONE:
                whole[..., above, :] = np.maximum(whole[..., above, :], whole[..., place, :])
                children[..., above, :] += whole[..., place, :]
        left: np.ndarray = np.maximum(whole - children, 0.0)
        return left


def anchors_of(model: Model) -> Anchors:
    """Find the targets that are anchored."""
    vocabulary = model.vocabulary
    code = np.array([vocabulary.index_of(name) or ABSENT for name in model.targets], np.int64)
    routine = set(model.routine.tolist())
    over = {above for one in routine for above in vocabulary.ancestors_of(one).tolist()} - routine
    kept = np.array([n for n, c in enumerate(code) if n == 0 or (c > 0 and c not in over)], np.int64)
    depth = [len(vocabulary.ancestors_of(int(code[n]))) if n else -1 for n in kept]
    kept = kept[np.argsort(depth, kind="stable")]
    place = {int(code[n]): at for at, n in enumerate(kept)}
    above = np.full(len(kept), _NONE, np.int64)
    upward = np.eye(len(kept), dtype=bool)
    for at, n in enumerate(kept[1:], start=1):
        lineage = [place[c] for c in vocabulary.ancestors_of(int(code[n])).tolist() if c in place]
        upward[at, lineage] = True
        above[at] = lineage[0] if lineage else _NONE
    return Anchors(kept, code[kept], above, upward, np.isin(code[kept], model.routine))
