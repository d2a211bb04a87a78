"""In: what is known of patients at index times. Out: for whom there should be no answer, and why."""

from dataclasses import dataclass
from typing import Final, get_args

import numpy as np
from jaxtyping import Bool, Int8, Int64

from residency.contract.packed import UNKNOWN, Packed
from residency.contract.questions import AbstentionReason, Modality
from residency.contract.specs import spec
from residency.model import Range
from residency.reasoning.index import Index, Place
from residency.timeline.segments import search

REASONS: Final[tuple[AbstentionReason, ...]] = get_args(AbstentionReason)
ANSWERED: Final = -1
ATTACHMENT_MODALITIES: Final[tuple[Modality, ...]] = ("notes", "images", "variants")  # of ATTACHMENT_KINDS


def code_of(reason: AbstentionReason) -> int:
    """Give the number that stands for a reason in arrays."""
    return REASONS.index(reason)


@spec
class Limits:
    """When a patient is known too little to be asked about.

    Attributes:
        min_moments: dated moments needed before the index time; birth and static facts are none.
        stale_days: longest time since the newest record.
        max_unknown_share: largest share of a patient's events whose code the model does not know.
        min_events_for_share: the share is looked at from this many events on.
        needed: kinds of records without which nothing is answered.
        stalled: feeds that are known to deliver no more (see `feeds.stalled`): nothing is answered.
        held_back: nothing is answered of this patient, so that a comparison stays that nothing influenced.
    """

    min_moments: int = 1
    stale_days: float = 730.5
    max_unknown_share: float = 0.5
    min_events_for_share: int = 5
    needed: tuple[Modality, ...] = ()
    stalled: tuple[str, ...] = ()
    held_back: bool = False


@dataclass(frozen=True)
class History:
    """When something first was on record.

    Attributes:
        moment: rows of `Packed.moment_time` that hold it, rising.
    """

    moment: Int64[np.ndarray, " occurrence"]

    def by(self, packed: Packed, index: Index, at: Place) -> Bool[np.ndarray, " index"]:
        """Whether it was on record at each index time."""
        first = packed.moment_offset[index.patient]
        had: np.ndarray = np.searchsorted(self.moment, at.moment, "right") > np.searchsorted(
            self.moment, first
        )
        return had


def history_of(packed: Packed, codes: Int64[np.ndarray, " code"], values: Range | None = None) -> History:
    """Find the moments that hold any of some codes (indices in the vocabulary), with such a value."""
    wanted = np.zeros(max(int(packed.event_code.max(initial=0)), int(codes.max(initial=0))) + 1, dtype=bool)
    wanted[codes] = True
    events = np.flatnonzero(wanted[packed.event_code])
    if values is not None:
        value = packed.event_value[events]
        events = events[(value > values.above) & (value < values.below)]
    return History(np.unique(np.searchsorted(packed.event_offset, events, "right") - 1))


def abstain(
    packed: Packed, index: Index, at: Place, limits: Limits, used: Bool[np.ndarray, "index kind"]
) -> Int8[np.ndarray, " index"]:
    """Say for each index time why nothing should be answered; `ANSWERED` where something may.

    Args:
        packed: as a question may see them.
        index: who is asked about, and when.
        at: where that lies in the timelines.
        limits: when too little is known.
        used: kinds of attachments that were known.
    """
    reason = np.full(len(index), ANSWERED, dtype=np.int8)
    checks: tuple[tuple[AbstentionReason, Bool[np.ndarray, " index"]], ...] = (
        ("out_of_distribution", _mostly_unknown(packed, index, at, limits)),
        ("modality_missing", _lacking(used, limits)),
        ("stale_feed", (at.elapsed_days > limits.stale_days) & (at.n_moments > 0)),
        ("stale_feed", np.full(len(index), bool(limits.stalled))),
        ("too_little_history", ~at.known | (at.n_moments < limits.min_moments)),
        ("outside_observation", _unobserved(packed, index)),
        ("held_back", np.full(len(index), limits.held_back)),
    )
    for name, holds in checks:
        reason[holds] = code_of(name)
    return reason


def _lacking(used: Bool[np.ndarray, "index kind"], limits: Limits) -> Bool[np.ndarray, " index"]:
    """Whether a kind of record that is needed was not there."""
    needed = [name in limits.needed for name in ATTACHMENT_MODALITIES]
    lacking: np.ndarray = np.asarray((~used[:, needed]).any(axis=1))
    return lacking


def _mostly_unknown(packed: Packed, index: Index, at: Place, limits: Limits) -> Bool[np.ndarray, " index"]:
    """Whether most of what is known of a patient has a code that the model never met."""
    unknown_by_event = np.concatenate(([0], np.cumsum(packed.event_code == UNKNOWN)))
    begin = packed.event_offset[packed.moment_offset[index.patient]]
    end = packed.event_offset[np.maximum(at.moment, -1) + 1]
    events = np.where(at.known, end - begin, 0)
    unknown = unknown_by_event[end] - unknown_by_event[begin]
    mostly: np.ndarray = (events >= limits.min_events_for_share) & (
        unknown > limits.max_unknown_share * events
    )
    return mostly


def _unobserved(packed: Packed, index: Index) -> Bool[np.ndarray, " index"]:
    """Whether the last interval of observation that had begun was over."""
    first, end = (packed.observation_offset[index.patient + more] for more in (0, 1))
    after = search(packed.observation_start, (first, end), index.as_of, "right")
    last = np.maximum(after - 1, 0)
    over = (
        packed.observation_end[last] < index.as_of
        if len(packed.observation_end)
        else np.zeros(len(index), bool)
    )
    unobserved: np.ndarray = (after > first) & over
    return unobserved
