"""In: scores over time and when the outcome came. Out: what a fixed burden of alerts finds, and how early.

A patient who is above the threshold at any time of a day makes one alert that day. The threshold is the
lowest that keeps alerts within the stated number per 100 patient-days on which the model was asked.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int, UInt

DAY: Final = 86_400_000_000  # µs


@dataclass(frozen=True)
class Found:
    """What the alerts found.

    Attributes:
        threshold: an alert is a score at or above it.
        per_100_days: alerts per 100 patient-days that come of it.
        had_event: patients with the outcome within the horizon of some index time.
        found: those of them with an alert at such an index time.
        lead_days: from the first such alert to the outcome; NaN where not found.
        alerts: alerts of each patient: days with one.
    """

    threshold: float
    per_100_days: float
    had_event: Bool[np.ndarray, " patient"]
    found: Bool[np.ndarray, " patient"]
    lead_days: Float[np.ndarray, " patient"]
    alerts: Float[np.ndarray, " patient"]


@dataclass(frozen=True)
class Watch:
    """Scores over time.

    Attributes:
        patient: dense number of the patient.
        time: index time, in µs.
        event_time: when the outcome came, in µs; read where `label` is true.
        label: whether the outcome came within the horizon.
        score: rises with risk.
    """

    patient: Int[np.ndarray, " row"]
    time: Int[np.ndarray, " row"]
    event_time: Int[np.ndarray, " row"]
    label: Bool[np.ndarray, " row"]
    score: Float[np.ndarray, " row"]


def alert(watch: Watch, per_100_days: float) -> Found:
    """Alert within a burden, and say what was found.

    Args:
        watch: scores over time.
        per_100_days: alerts allowed per 100 patient-days.
    """
    n = int(watch.patient.max()) + 1 if len(watch.patient) else 0
    peak, owner = _peaks(watch)
    threshold = _threshold(peak, int(len(peak) * per_100_days / 100))
    hit = watch.label & (watch.score >= threshold)
    had_event = np.zeros(n, dtype=bool)
    had_event[watch.patient[watch.label]] = True
    lead = np.full(n, -np.inf)
    np.maximum.at(lead, watch.patient[hit], (watch.event_time[hit] - watch.time[hit]) / DAY)
    found = np.isfinite(lead)
    burden = 100 * float((peak >= threshold).mean()) if len(peak) else 0.0
    alerts = np.bincount(owner[peak >= threshold], minlength=n).astype(np.float64)
    return Found(threshold, burden, had_event, found, np.where(found, lead, np.nan), alerts)


def alerts_per_found(found: Found, counts: UInt[np.ndarray, "patient draw"]) -> Float[np.ndarray, " draw"]:
    """Alerts that are made for each patient found, per draw: how many looks one find costs."""
    some = np.flatnonzero(found.alerts)
    made = found.alerts[some] @ counts[some]
    hits = counts[found.found].sum(axis=0, dtype=np.float64)
    share: np.ndarray = np.divide(made, hits, out=np.full_like(made, np.nan), where=hits > 0)
    return share


def sensitivity(found: Found, counts: UInt[np.ndarray, "patient draw"]) -> Float[np.ndarray, " draw"]:
    """Share of patients with the outcome who had an alert within its horizon, per draw."""
    had = counts[found.had_event].sum(axis=0, dtype=np.float64)
    hits = counts[found.found].sum(axis=0, dtype=np.float64)
    share: np.ndarray = np.divide(hits, had, out=np.full_like(had, np.nan), where=had > 0)
    return share


def lead_time(found: Found, counts: UInt[np.ndarray, "patient draw"]) -> Float[np.ndarray, " draw"]:
    """Median days from the first alert to the outcome, of those found, per draw."""
    who = np.flatnonzero(found.found)
    who = who[np.argsort(found.lead_days[who], kind="stable")]
    if not len(who):
        return np.full(counts.shape[1], np.nan)
    reached = np.cumsum(counts[who].astype(np.int64), axis=0)
    middle = (reached >= np.maximum(reached[-1:] / 2, 0.5)).argmax(axis=0)
    return np.where(reached[-1] > 0, found.lead_days[who][middle], np.nan)


def _peaks(watch: Watch) -> tuple[Float[np.ndarray, " day"], Int[np.ndarray, " day"]]:
    """Highest score of each patient-day, and whose it is."""
    if not len(watch.patient):
        return np.zeros(0), np.zeros(0, np.int64)
    day = watch.time // DAY
    order = np.lexsort((day, watch.patient))
    patient, day = watch.patient[order], day[order]
    new = np.concatenate(([True], (patient[1:] != patient[:-1]) | (day[1:] != day[:-1])))
    first = np.flatnonzero(new)
    highest: np.ndarray = np.maximum.reduceat(watch.score[order], first)
    return highest.astype(np.float64), patient[first]


def _threshold(peak: Float[np.ndarray, " day"], n_alerts: int) -> float:
    """Lowest score that at most `n_alerts` of the peaks reach."""
    if n_alerts <= 0 or not len(peak):
        return float("inf")
    ordered = np.sort(peak)[::-1]
    if n_alerts >= len(ordered):
        return float(ordered[-1])
    over = ordered[:n_alerts][ordered[:n_alerts] > ordered[n_alerts]]
    return float(over[-1]) if len(over) else float("inf")
