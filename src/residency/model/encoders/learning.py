"""In: train patients' attachments of one kind. Out: what an encoder that learns here learns from."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from residency.contract.progress import Progress

if TYPE_CHECKING:
    from residency.model.marginals import Marginals
    from residency.model.spec import ModelSpec
    from residency.timeline import Timelines

LEARNED_FILE: Final = "weights.safetensors"


@dataclass(frozen=True)
class Lesson:
    """What there is to learn from.

    Attributes:
        data: timelines; only `train` patients teach.
        spec: seed and size.
        marginals: targets, and how frequent each is.
        kind: of attachment, as an index in `ATTACHMENT_KINDS`.
        progress: told of each batch.
    """

    data: "Timelines"
    spec: "ModelSpec"
    marginals: "Marginals"
    kind: int
    progress: Progress


@runtime_checkable
class Learner(Protocol):
    """An encoder whose weights are learned here, on train patients, before anything is encoded."""

    def learn(self, lesson: Lesson, path: Path) -> int:
        """Write the weights; `load` is given the folder they are in.

        Returns:
            How many attachments it learned from.
        """
        ...
