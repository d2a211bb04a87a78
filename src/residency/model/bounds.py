"""In: a model's taught codes. Out: the hazards of codes below them, never above theirs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from residency.timeline import Vocabulary


@dataclass(frozen=True)
class Bounds:
    """What taught codes hold of the codes below them, which nobody teaches.

    Attributes:
        above: the taught targets above each target that stands below some.
    """

    above: dict[int, tuple[int, ...]]

    @classmethod
    def of(cls, vocabulary: Vocabulary, targets: Sequence[str], taught: Sequence[int]) -> "Bounds":
        """Look each target's ancestors up among the taught ones."""
        index = [vocabulary.index_of(code) for code in targets]
        place = {index[target]: target for target in taught}
        above = (
            tuple(place[one] for one in vocabulary.ancestors_of(code).tolist() if one in place)
            for code in index
        )
        return cls({target: found for target, found in enumerate(above) if found})

    def with_above(self, targets: Int64[np.ndarray, " target"]) -> Int64[np.ndarray, " with_above"]:
        """Give the targets and the taught ones above them, in order."""
        above = [one for target in targets.tolist() for one in self.above.get(target, ())]
        return np.unique(np.concatenate([targets, np.array(above, np.int64)]))

    def hold(
        self,
        hazards: Float32[np.ndarray, "index head target interval"],
        targets: Int64[np.ndarray, " target"],
    ) -> None:
        """Lower hazards, in place, to those of the taught targets above them that are there, too."""
        place = {int(target): n for n, target in enumerate(targets)}
        bounds = {
            n: [place[above] for above in self.above.get(target, ()) if above in place]
            for target, n in place.items()
        }
        lowest = {n: hazards[:, :, by].min(axis=2) for n, by in bounds.items() if by}
        for n, bound in lowest.items():
            hazards[:, :, n] = np.minimum(hazards[:, :, n], bound)
