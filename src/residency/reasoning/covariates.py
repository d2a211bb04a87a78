"""In: a timeline and a time. Out: plain covariates of an emulated trial: what was there before, as numbers.

Age, sex, how long and how often seen, which of the commonest codes are on record, and the last value of the
commonest tests. What happened by the time counts (a sample taken, even if its result came later); nothing
here was learned from outcomes. Scales and what fills a missing value come from train patients.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from residency.contract.codes import BIRTH
from residency.contract.packed import DAY, STATIC, UNKNOWN, Packed
from residency.reasoning.outcomes import Family
from residency.timeline import PatientEvents, Vocabulary, events_of

_FEMALE: Final = "DEMOGRAPHIC/SEX=female"


class Instant(NamedTuple):
    """Whom to look at, what happened by when, and what was known by when (µs)."""

    packed: Packed
    row: int
    happened: int
    known: int


@dataclass(frozen=True)
class Layout:
    """Which covariates there are.

    Attributes:
        codes: for each, the codes that count as it.
        valued: of these, whose last value is looked at too.
        birth: code of the birth.
        female: code of the sex.
        skewed: which covariates are looked at as logarithms.
        mean: of each covariate, without what is missing.
        scale: of each.
    """

    codes: tuple[frozenset[int], ...]
    valued: tuple[bool, ...]
    birth: int
    female: int
    skewed: Bool[np.ndarray, " covariate"] | None = None
    mean: Float64[np.ndarray, " covariate"] | None = None
    scale: Float64[np.ndarray, " covariate"] | None = None

    @classmethod
    def of(
        cls, vocabulary: Vocabulary, instants: Iterable[Instant], most: int, without: Iterable[str]
    ) -> "Layout":
        """Take the codes that most of those who entered had by then, and none of what the trial is about."""
        family = Family(vocabulary, ())
        gone = {int(one) for code in without for one in family.below(vocabulary.index_of(code))} | {UNKNOWN}
        n = np.zeros(len(vocabulary), np.int64)
        for one in instants:
            events, known = _known(one)
            codes = np.unique(events.code[known]).tolist()
            n[list({up for code in codes for up in (code, *vocabulary.ancestors_of(code).tolist())})] += 1
        chosen = [
            one
            for one in np.argsort(-n, kind="stable").tolist()
            if n[one]
            and one not in gone
            and not vocabulary.codes[one].startswith(("MEDS_", "DEMOGRAPHIC/", "VISIT"))
        ][:most]
        valued = tuple(bool(vocabulary.knot_offset[one + 1] > vocabulary.knot_offset[one]) for one in chosen)
        codes = tuple(frozenset(int(c) for c in family.below(one)) for one in chosen)
        return cls(codes, valued, vocabulary.index_of(BIRTH), vocabulary.index_of(_FEMALE))

    def raw(self, instant: Instant) -> Float64[np.ndarray, " covariate"]:
        """Give one patient's covariates; NaN where there is none."""
        events, known = _known(instant)
        code, value, time = events.code[known], events.value[known], events.time[known]
        born = time[(code == self.birth) & (time != STATIC)]
        dated = time[(time != STATIC) & (code != self.birth)]
        basic = [
            (instant.happened - int(born[0])) / DAY / 365.25 if len(born) else np.nan,
            float((code == self.female).any()),
            float(np.log1p(len(np.unique(dated)))),
            (instant.happened - int(dated.min())) / DAY / 365.25 if len(dated) else 0.0,
        ]
        return np.array([*basic, *self._of_codes(code, value)])

    def _of_codes(self, code: np.ndarray, value: np.ndarray) -> Iterable[float]:
        last = {int(one): float(v) for one, v in zip(code, value, strict=True) if np.isfinite(v)}
        there = set(code.tolist())
        for members, valued in zip(self.codes, self.valued, strict=True):
            yield float(bool(members & there))
            if valued:
                mine = [last[one] for one in members if one in last]
                yield mine[-1] if mine else np.nan

    def fitted(self, rows: Float64[np.ndarray, "patient covariate"]) -> "Layout":
        """Fit the scales; what is never 0 or less, and less skewed as a logarithm, is looked at as one."""
        positive = np.nan_to_num(rows, nan=1.0).min(axis=0) > 0
        with np.errstate(invalid="ignore", divide="ignore"):
            logs = np.where(positive, np.log(rows), rows)
        skewed = positive & (np.abs(_skew(logs)) < np.abs(_skew(rows)))
        chosen = np.where(skewed, logs, rows)
        mean, spread = _moments(chosen)
        return replace(self, skewed=skewed, mean=mean, scale=np.where(spread > 1e-9, spread, 1.0))

    def scaled(
        self, rows: Float64[np.ndarray, "patient covariate"]
    ) -> Float64[np.ndarray, "patient covariate"]:
        """Give covariates of about the same size; what is missing lies in the middle."""
        assert self.mean is not None  # noqa: S101 - fitted before
        assert self.skewed is not None  # noqa: S101 - fitted with it
        chosen = np.where(self.skewed, np.log(np.where(self.skewed & (rows > 0), rows, 1.0)), rows)
        scaled: np.ndarray = np.nan_to_num((chosen - self.mean) / self.scale).clip(-5, 5)
        return scaled


def _moments(rows: Float64[np.ndarray, "patient covariate"]) -> tuple[np.ndarray, np.ndarray]:
    """Give mean and spread of each covariate, without what is missing."""
    some = np.isfinite(rows)
    n = np.maximum(some.sum(axis=0), 1)
    mean = np.where(some, rows, 0).sum(axis=0) / n
    return mean, np.sqrt(np.where(some, (rows - mean) ** 2, 0).sum(axis=0) / n)


def _skew(rows: Float64[np.ndarray, "patient covariate"]) -> Float64[np.ndarray, " covariate"]:
    mean, spread = _moments(rows)
    cubes = ((rows - mean) / np.maximum(spread, 1e-9)) ** 3
    return _moments(cubes)[0]


def _known(instant: Instant) -> tuple[PatientEvents, Bool[np.ndarray, " event"]]:
    """Give a patient's events, and which of them had happened and were known."""
    events = events_of(instant.packed, instant.row)
    at = np.maximum(events.time, events.available)
    known: np.ndarray = (events.time == STATIC) | ((events.time <= instant.happened) & (at <= instant.known))
    return events, known


def rows_of(layout: Layout, instants: Iterable[Instant]) -> Float64[np.ndarray, "patient covariate"]:
    """Give the covariates of many."""
    return np.array([layout.raw(one) for one in instants], np.float64)
