"""In: timelines, index times, a published score (`clinical.toml`). Out: its points, and risks from them."""

from functools import cache
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from jaxtyping import Float, Int64
from msgspec import Struct

from residency.contract.errors import SpecError
from residency.contract.packed import DAY, STATIC, Packed
from residency.reasoning import Index
from residency.timeline import Timelines, Vocabulary
from residency.validation.baseline import MIN_EVENTS
from residency.validation.cohort import Cohort
from residency.validation.groups import latest_of
from residency.validation.landmarks import age_years
from residency.validation.metrics import fit_logistic
from residency.validation.tally import Scored, exact

FILE: Final = Path(__file__).with_name("clinical.toml")


class Band(Struct, frozen=True, forbid_unknown_fields=True):
    """Points of values below `under`, or of all that are left."""

    points: int
    under: float = float("inf")


class Age(Struct, frozen=True, forbid_unknown_fields=True, rename={"years": "from"}):
    """Points from an age on; the last that holds counts."""

    years: float
    points: int


class Part(Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a score: codes ever on record, or the age, or the last value within some hours."""

    codes: tuple[str, ...] = ()
    points: int = 0
    ages: tuple[Age, ...] = ()
    value: tuple[str, ...] = ()
    within_hours: float = 24.0
    bands: tuple[Band, ...] = ()


class ClinicalScore(Struct, frozen=True, forbid_unknown_fields=True):
    """A published score."""

    title: str
    source: str
    parts: tuple[Part, ...]


@cache
def clinical_scores() -> dict[str, ClinicalScore]:
    """Give every score by its name."""
    return msgspec.toml.decode(FILE.read_bytes(), type=dict[str, ClinicalScore])


def clinical_score(name: str) -> ClinicalScore:
    """Give one score.

    Raises:
        SpecError: there is none of that name.
    """
    found = clinical_scores().get(name)
    if found is None:
        raise SpecError(
            f"no clinical score is called {name}", mend=f"there are: {', '.join(clinical_scores())}"
        )
    return found


def points(
    packed: Packed, vocabulary: Vocabulary, index: Index, score: ClinicalScore
) -> Int64[np.ndarray, " index"]:
    """Count a score's points at index times."""
    total = np.zeros(len(index), np.int64)
    for part in score.parts:
        if part.codes:
            total += part.points * latest_of(packed, vocabulary, index, part.codes)[1]
        if part.ages:
            total += _by_age(age_years(packed, index), part.ages)
        if part.value:
            total += _by_value(packed, vocabulary, index, part)
    return total


def _by_age(age: Float[np.ndarray, " index"], ages: tuple[Age, ...]) -> Int64[np.ndarray, " index"]:
    begins = np.array([one.years for one in ages])
    worth = np.array([0, *(one.points for one in ages)])
    found: np.ndarray = worth[np.searchsorted(begins, np.nan_to_num(age), "right")]
    return found


def _by_value(
    packed: Packed, vocabulary: Vocabulary, index: Index, part: Part
) -> Int64[np.ndarray, " index"]:
    event, known = latest_of(packed, vocabulary, index, part.value, valued=True)
    if not known.any():
        return np.zeros(len(index), np.int64)
    value, when = packed.event_value[event], packed.event_time[event]
    recent = known & (when != STATIC) & (index.as_of - when <= part.within_hours / 24 * DAY)
    under = np.array([band.under for band in part.bands[:-1]])
    worth = np.array([band.points for band in part.bands])
    band = np.searchsorted(under, np.nan_to_num(value), "right")
    found: np.ndarray = np.where(recent, worth[band], 0)
    return found


def clinical_risk(
    timelines: Timelines, name: str, train: Cohort, rest: Cohort
) -> Float[np.ndarray, " row"] | None:
    """Turn a score's points into risks, by a logistic regression on the train patients.

    Args:
        timelines: all patients.
        name: of the score.
        train: who teaches what a point means.
        rest: whose risk is given.

    Returns:
        None where too few train patients have the outcome.
    """
    if min(int(train.label.sum()), int((~train.label).sum())) < MIN_EVENTS:
        return None
    score = clinical_score(name)
    taught, asked = (_points_of(timelines, score, one) for one in (train, rest))
    rows = Scored(np.arange(len(taught)), train.label, taught, train.weight)
    tally = exact(rows)
    terms = fit_logistic(np.stack([np.ones_like(tally.score), tally.score], axis=1), tally)[:, 0]
    if np.isnan(terms).any():
        return None
    risk: np.ndarray = 1 / (1 + np.exp(-(terms[0] + terms[1] * asked)))
    return risk


def _points_of(timelines: Timelines, score: ClinicalScore, cohort: Cohort) -> Float[np.ndarray, " row"]:
    found = np.zeros(len(cohort))
    for number, packed in enumerate(timelines.shards):
        index = cohort.of_shard(number)
        if len(index):
            found[cohort.shard == number] = points(packed, timelines.vocabulary, index, score)
    return found
