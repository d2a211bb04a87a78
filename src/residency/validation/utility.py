"""In: hourly sepsis labels and alarms of each patient. Out: the utility of PhysioNet/CinC Challenge 2019.

The challenge's definition (Reyna et al., Crit Care Med 2020; `evaluate_sepsis_score.py`): the label turns 1
six hours before the onset; an alarm scores up to 1 from 12 h before the onset (best at 6 h before) to 3 h
after; silence then scores down to −2; a false alarm −0.05. Row numbers within the patient are the hours.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

EARLY_HOURS: Final = -12
BEST_HOURS: Final = -6
LATE_HOURS: Final = 3
BEST: Final = 1.0
MISSED: Final = -2.0
FALSE_ALARM: Final = -0.05


@dataclass(frozen=True)
class Stakes:
    """What an alarm, and silence, are worth at each row; rows of a patient follow each other in time.

    Attributes:
        patient: dense number of the patient.
        alarm: utility of an alarm.
        silence: utility of none.
        best: whether the perfect forecaster alarms.
    """

    patient: Int[np.ndarray, " row"]
    alarm: Float[np.ndarray, " row"]
    silence: Float[np.ndarray, " row"]
    best: Bool[np.ndarray, " row"]

    def totals(self, alarms: Bool[np.ndarray, " row"]) -> Float[np.ndarray, "3 patient"]:
        """Give each patient's utility: as alarmed, with no alarm, with perfect alarms."""
        n = int(self.patient.max()) + 1 if len(self.patient) else 0
        choices = (alarms, np.zeros_like(alarms), self.best)
        return np.stack(
            [
                np.bincount(self.patient, weights=np.where(on, self.alarm, self.silence), minlength=n)
                for on in choices
            ]
        )


def stakes_of(patient: Int[np.ndarray, " row"], label: Bool[np.ndarray, " row"]) -> Stakes:
    """Work out the stakes of each row.

    Args:
        patient: dense number of the patient; the rows of one patient stand together, in order of time.
        label: the challenge's label at each row.
    """
    starts = (
        np.flatnonzero(np.concatenate(([True], patient[1:] != patient[:-1])))
        if len(patient)
        else np.zeros(0, int)
    )
    length = np.diff(np.append(starts, len(patient)))
    hour = np.arange(len(patient)) - np.repeat(starts, length)
    first = np.where(label, hour, np.iinfo(np.int64).max)
    first = np.minimum.reduceat(first, starts) if len(patient) else first
    septic = np.repeat(first < np.iinfo(np.int64).max, length)
    to_onset = np.where(
        septic, hour - (np.repeat(np.where(first > 1 << 40, 0, first), length) - BEST_HOURS), 0
    )
    early, late = to_onset <= BEST_HOURS, to_onset <= LATE_HOURS
    rise = BEST * (to_onset - EARLY_HOURS) / (BEST_HOURS - EARLY_HOURS)
    fall = BEST * (LATE_HOURS - to_onset) / (LATE_HOURS - BEST_HOURS)
    miss = MISSED * (to_onset - BEST_HOURS) / (LATE_HOURS - BEST_HOURS)
    alarm = np.where(early, np.maximum(rise, FALSE_ALARM), np.where(late, fall, 0.0))
    silence = np.where(early, 0.0, np.where(late, miss, 0.0))
    return Stakes(
        patient=patient,
        alarm=np.where(septic, alarm, FALSE_ALARM),
        silence=np.where(septic, silence, 0.0),
        best=septic & (to_onset >= EARLY_HOURS) & late,
    )


def normalised(totals: Float[np.ndarray, "3 draw"]) -> Float[np.ndarray, " draw"]:
    """Give utility with 0 for no alarm and 1 for perfect alarms.

    Args:
        totals: utility as alarmed, with no alarm, with perfect alarms.
    """
    alarmed, silent, perfect = totals
    room = perfect - silent
    result: np.ndarray = np.divide(alarmed - silent, room, out=np.full_like(room, np.nan), where=room > 0)
    return result


def best_threshold(stakes: Stakes, score: Float[np.ndarray, " row"]) -> float:
    """Find the score at and above which alarms have the highest total utility; of equals, the highest."""
    order = np.argsort(-score, kind="stable")
    gain = np.cumsum((stakes.alarm - stakes.silence)[order])
    last_of_tie = np.append(score[order][1:] != score[order][:-1], True) if len(score) else np.zeros(0, bool)
    if not len(score) or gain[last_of_tie].max() <= 0:
        return float("inf")
    reachable = np.where(last_of_tie, gain, -np.inf)
    return float(score[order][int(np.argmax(reachable))])
