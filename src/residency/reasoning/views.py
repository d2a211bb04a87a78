"""In: timelines with attachments, and what may be used. Out: timelines as though that were all."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Int64

from residency.contract.packed import ATTACHMENT_KINDS, STATIC, Packed
from residency.contract.questions import Modality
from residency.model import Model
from residency.model.attachments import used, without_kinds
from residency.model.encoders.encoding import Encoded
from residency.reasoning.index import Index, Place
from residency.timeline import Attachments, take

_NAMES: Final[dict[str, Modality]] = {"note": "notes", "image": "images", "variants": "variants"}


@dataclass(frozen=True)
class View:
    """What a question may look at.

    Attributes:
        packed: timelines without a trace of what it may not use, or what the model does not read.
        encoded: vectors of the attachments that are left.
    """

    packed: Packed
    encoded: Encoded

    def latest(self, index: Index, at: Place) -> Int64[np.ndarray, " index"]:
        """Give when the newest record became available; `STATIC` where there is none."""
        if not self.packed.n_moments:
            return np.full(len(index), STATIC)
        newest = self.packed.moment_time[np.maximum(at.moment, 0)]
        return np.where(at.n_moments > 0, newest, STATIC)

    def used(self, index: Index, at: Place) -> Bool[np.ndarray, "index kind"]:
        """Say which kinds of attachments were known at each index time."""
        first = self.packed.moment_offset[index.patient]
        return used(self.packed, self.encoded, np.where(at.known, at.moment, first - 1), first)


def kinds_of(model: Model, modalities: frozenset[Modality]) -> tuple[str, ...]:
    """Give the kinds of attachments that a question may use and the model reads."""
    return tuple(kind for kind in ATTACHMENT_KINDS if kind in model.kinds and _NAMES[kind] in modalities)


def view_of(
    model: Model,
    packed: Packed,
    attachments: Attachments | None,
    modalities: frozenset[Modality],
    index: Index,
) -> View:
    """Give the timelines as a question may see them; the attachments of those asked about are encoded."""
    kinds = kinds_of(model, modalities) if attachments is not None else ()
    seen = without_kinds(packed, kinds)
    if attachments is None or not kinds:
        return View(seen, {})
    asked = take(seen, np.unique(index.patient))
    return View(seen, model.attaching.encoded(attachments, asked, kinds))
