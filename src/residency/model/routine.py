"""In: train patients' moments. Out: the codes that nearly everybody has, and which of them come together.

Routine codes are vitals, common tests and visits: simulated futures take them moment by moment. A moment's
*lead* is its rarest routine code; which of the commoner ones come with it hangs on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float32, Int64

from residency.contract.packed import Packed
from residency.model.outcomes import ABSENT, Targets, grouped
from residency.timeline import moment_of_event, patient_of_moment
from residency.timeline.segments import ranges

ROUTINE_SHARE: Final = 0.5  # of the train patients have a routine code
ROUTINE_TARGET: Final = 1  # death is 0


@dataclass(frozen=True)
class Routine:
    """What the train patients show of routine codes.

    Attributes:
        code: index in the vocabulary, most frequent first.
        log_rate: log hazard per day of the next moment that holds any, by interval.
        lead: log share of such moments whose rarest routine code is this.
        together: log odds that a code comes where a lead does; looked at for codes before the lead.
    """

    code: Int64[np.ndarray, " routine"]
    log_rate: Float32[np.ndarray, " interval"]
    lead: Float32[np.ndarray, " routine"]
    together: Float32[np.ndarray, "lead routine"]


def routine_codes(
    parts: Sequence[Packed], panel: Int64[np.ndarray, " panel"], n_codes: int
) -> Int64[np.ndarray, " routine"]:
    """Choose the codes of the panel that at least half of the patients have on record, by frequency."""
    patients, events, n_patients = np.zeros(n_codes), np.zeros(n_codes), 0
    for packed in parts:
        moment = moment_of_event(packed)
        owner = patient_of_moment(packed)[moment]
        dated = moment > packed.moment_offset[owner]
        code, owner = np.asarray(packed.event_code)[dated].astype(np.int64), owner[dated]
        events += np.bincount(code, minlength=n_codes)
        patients += np.bincount(np.unique(owner * n_codes + code) % n_codes, minlength=n_codes)
        n_patients += packed.n_patients
    held = panel[patients[panel] >= max(ROUTINE_SHARE * n_patients, 1.0)]
    chosen: np.ndarray = held[np.argsort(-events[held], kind="stable")]
    return chosen


def routine_targets(
    code: Int64[np.ndarray, " routine"], death: int, edges_days: np.ndarray, n_codes: int
) -> Targets:
    """Give two targets: death, and any routine code."""
    group = np.full(n_codes, ABSENT, np.int64)
    group[code] = ROUTINE_TARGET
    if death != ABSENT:
        group[death] = 0
    return grouped(group, 2, edges_days)


def slots_of(code: Int64[np.ndarray, " chosen"], n_codes: int) -> Int64[np.ndarray, " code"]:
    """Give the place of each code of the vocabulary among some; −1 outside them."""
    slot = np.full(n_codes, ABSENT, np.int64)
    slot[code] = np.arange(len(code))
    return slot


def present_in(
    packed: Packed, moment: Int64[np.ndarray, " row"], slot: Int64[np.ndarray, " code"], n: int
) -> Bool[np.ndarray, "row routine"]:
    """Say which routine codes some moments hold."""
    count = packed.event_offset[moment + 1] - packed.event_offset[moment]
    row = np.repeat(np.arange(len(moment)), count)
    event = ranges(packed.event_offset[moment], count)
    at = slot[np.asarray(packed.event_code[event])]
    present = np.zeros((len(moment), n), bool)
    present[row[at >= 0], at[at >= 0]] = True
    return present


def lead_of(present: Bool[np.ndarray, "row routine"]) -> Int64[np.ndarray, " row"]:
    """Give the rarest code of each row, which holds one at least."""
    if not present.size:
        return np.zeros(len(present), np.int64)
    lead: np.ndarray = present.shape[1] - 1 - present[:, ::-1].argmax(axis=1)
    return lead.astype(np.int64)


def company(
    parts: Sequence[Packed], code: Int64[np.ndarray, " routine"], n_codes: int
) -> tuple[Float32[np.ndarray, " routine"], Float32[np.ndarray, "lead routine"]]:
    """Count leads and what comes with them; give `lead` and `together` of `Routine`."""
    n, slot = len(code), slots_of(code, n_codes)
    leads, both = np.zeros(n), np.zeros((n, n))
    for packed in parts:
        held = np.unique(moment_of_event(packed)[slot[np.asarray(packed.event_code)] >= 0])
        present = present_in(packed, held, slot, n)
        if not len(held):
            continue
        lead = lead_of(present)
        leads += np.bincount(lead, minlength=n)
        np.add.at(both, lead, present)
    share = (leads + 0.5) / (leads.sum() + 0.5 * max(n, 1))
    odds = (both + 0.5) / (leads[:, None] - both + 0.5)
    return np.log(share).astype(np.float32), np.log(odds).astype(np.float32)
