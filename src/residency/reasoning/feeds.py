"""In: when records became available, by feed. Out: the feeds that have stalled.

A feed is held against its own past: it has stalled where nothing came for much longer than it ever paused.
Only true calendar time tells that (a date shift moves patients apart), so it is asked of an identified panel.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

import numpy as np
import polars as pl

from residency.contract.packed import DAY
from residency.contract.specs import spec

_SYSTEM: Final = "system"
ASKED_ONCE: Final = ("MEDS_BIRTH", "MEDS_DEATH", "DEMOGRAPHIC", "FAMILY", "ALLERGY", "COVERAGE", "CONSENT")


@spec
class StallLimits:
    """When a feed counts as stalled.

    Attributes:
        times_longest: so many times its longest usual pause.
        usual_share: of its pauses, so many are usual; the rest are holidays and repairs.
        min_days: no shorter silence is one.
        min_records: a feed of fewer is not judged.
    """

    times_longest: float = 3.0
    usual_share: float = 0.99
    min_days: float = 2.0
    min_records: int = 50


def feeds_of(events: pl.DataFrame) -> dict[str, np.ndarray]:
    """Give when records became available (µs, each once, rising), by code system.

    What has no time is no feed, nor is what is asked once of a patient: it stops when nobody new comes.

    Args:
        events: columns `code`, `time` and `available`.
    """
    dated = events.select(
        pl.col("code").str.split("/").list.first().alias(_SYSTEM),
        at=pl.max_horizontal(pl.col("time").cast(pl.Int64), pl.col("available").cast(pl.Int64)),
    ).drop_nulls()
    flowing = dated.filter(~pl.col(_SYSTEM).is_in(ASKED_ONCE)).unique()
    return {str(name): np.sort(rows["at"].to_numpy()) for (name,), rows in flowing.group_by(_SYSTEM)}


def stalled(
    feeds: Mapping[str, np.ndarray], as_of: datetime, limits: StallLimits | None = None
) -> tuple[str, ...]:
    """Name the feeds that have stalled by a time, looking at nothing later.

    Example:
        >>> days = np.arange(100) * DAY
        >>> stalled({"LOINC": days}, datetime(1970, 4, 11)), stalled({"LOINC": days}, datetime(1970, 5, 1))
        ((), ('LOINC',))
    """
    limits = limits or StallLimits()
    now = (as_of.replace(tzinfo=None) - datetime(1970, 1, 1)).total_seconds() * 1e6  # noqa: DTZ001
    return tuple(sorted(_stalled(feeds.items(), now, limits)))


def _stalled(feeds: Iterable[tuple[str, np.ndarray]], now: float, limits: StallLimits) -> Iterable[str]:
    for name, at in feeds:
        come = at[: np.searchsorted(at, now, "right")]
        if len(come) < limits.min_records:
            continue
        pauses = np.diff(come)
        usual = float(np.quantile(pauses, limits.usual_share)) if len(pauses) else 0.0
        if now - come[-1] > max(limits.times_longest * usual, limits.min_days * DAY):
            yield name
