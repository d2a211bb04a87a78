"""In: patients' ingest ids, their events, a key. Out: each one's pseudonym, shifts, limit of age."""

import hmac
from collections.abc import Callable
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Int64

from residency.contract.codes import BIRTH
from residency.contract.errors import IdentityError
from residency.contract.identifiers import pseudonym_of
from residency.contract.packed import DAY
from residency.contract.schema import EVENTS
from residency.deid.policy import Policy

WEEK: Final = 7 * DAY
YEAR: Final = 365 * DAY  # without leap days: an age is never taken for less than it is
DECADE: Final = 522 * WEEK  # ten years and a day, in whole weeks
NEVER: Final = int(np.iinfo(np.int64).max)

PEOPLE: Final = pl.Schema(
    {
        "subject_id": pl.Int64(),  # ingest id
        "pseudonym": pl.Int64(),
        "shift": pl.Int64(),  # µs that every time of the patient moves
        "birth_shift": pl.Int64(),  # µs that the birth moves beyond that
        "era_shift": pl.Int64(),  # µs that the borders between eras move
        "limit": pl.Int64(),  # first µs, shifted, at which a too high age would show
    }
)


NO_EVENTS: Final = pl.DataFrame(pl.from_arrow(EVENTS.empty_table()))


def people_of(
    subjects: Int64[np.ndarray, " patient"], events: pl.DataFrame, policy: Policy, key: bytes
) -> pl.DataFrame:
    """Give what is done to each patient.

    Whoever reaches `max_age` + 1 within their events gets a birth that is later by so many whole decades (of
    522 weeks) that the last event comes before that age. Neither the exact age nor the date of the last event
    shows in the new birth, so it tells little of what lies ahead.

    Args:
        subjects: ingest ids, rising.
        events: columns `subject_id`, `time`, `available`, `code`.
        policy: bounds of shift and age.
        key: the secret.

    Returns:
        Columns of `PEOPLE`.

    Raises:
        IdentityError: two patients have the same pseudonym.
    """
    ids = [int(subject) for subject in subjects]
    pseudonyms = np.array([pseudonym_of(key, subject) for subject in ids], np.int64)
    refuse_collisions(pseudonyms)
    weeks = _drawn(ids, lambda one: _weeks(_draw(key, b"shift", one), policy.shift_weeks))
    blur = policy.era_blur_days
    days = _drawn(ids, lambda one: _draw(key, b"era", one) % (2 * blur + 1) - blur)
    drawn = pl.DataFrame(
        {"subject_id": subjects, "pseudonym": pseudonyms, "shift": weeks * WEEK, "era_shift": days * DAY}
    )
    return drawn.join(
        _ages(events, policy.max_age), on="subject_id", how="left", maintain_order="left"
    ).select(
        "subject_id",
        "pseudonym",
        "shift",
        pl.col("birth_shift").fill_null(0),
        "era_shift",
        (pl.col("limit") + pl.col("shift")).fill_null(NEVER),
    )


def refuse_collisions(pseudonyms: Int64[np.ndarray, " patient"]) -> None:
    """See that no two patients share a pseudonym.

    Raises:
        IdentityError: two do.
    """
    if len(np.unique(pseudonyms)) < len(pseudonyms):
        raise IdentityError(
            "two patients would share a pseudonym",
            mend="make a new key; with 63 bits this is next to impossible",
        )


def _drawn(ids: list[int], draw: Callable[[int], int]) -> Int64[np.ndarray, " patient"]:
    return np.array([draw(one) for one in ids], np.int64)


def _draw(key: bytes, purpose: bytes, subject: int) -> int:
    """Draw a number from the key for one patient and one purpose."""
    return int.from_bytes(hmac.digest(key, purpose + subject.to_bytes(8, "big"), "sha256")[:8], "big")


def _weeks(number: int, most: int) -> int:
    """Give 1 to `most` weeks, forwards or backwards; never none, since that would leave true dates."""
    weeks = number % (2 * most) - most
    return weeks if weeks < 0 else weeks + 1


def _ages(events: pl.DataFrame, max_age: int) -> pl.DataFrame:
    """Give how far each birth moves, and when, in unshifted time, a too high age would show after that."""
    over = (max_age + 1) * YEAR
    time, available = pl.col("time").cast(pl.Int64), pl.col("available").cast(pl.Int64)
    spans = (
        events.group_by("subject_id")
        .agg(
            birth=time.filter(pl.col("code") == BIRTH).min(),
            last=pl.max_horizontal(time.max(), available.max()),
        )
        .drop_nulls("birth")
    )
    excess = pl.col("last") - pl.col("birth") - over
    moved = pl.when(excess >= 0).then((excess // DECADE + 1) * DECADE).otherwise(0)
    return spans.select("subject_id", birth_shift=moved, limit=pl.col("birth") + moved + over)
