"""In: packed timelines. Out: the events of one patient, and which moment and patient each row belongs to."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32, Int64

from residency.contract.packed import Packed


@dataclass(frozen=True)
class PatientEvents:
    """One patient's events in their order.

    Attributes:
        moment: row in `Packed.moment_time`.
        available: when each could be known, µs; `STATIC` where always.
        time: when each happened, µs; `STATIC` where it has no time.
        code: index in the vocabulary.
        value: in the vocabulary's unit; NaN where none.
        ref: row in the shard's events table.
    """

    moment: Int64[np.ndarray, " event"]
    available: Int64[np.ndarray, " event"]
    time: Int64[np.ndarray, " event"]
    code: Int32[np.ndarray, " event"]
    value: Float32[np.ndarray, " event"]
    ref: Int64[np.ndarray, " event"]


def patient_of_moment(packed: Packed) -> Int64[np.ndarray, " moment"]:
    """Give the patient row of each moment."""
    return np.repeat(np.arange(packed.n_patients), np.diff(packed.moment_offset))


def moment_of_event(packed: Packed) -> Int64[np.ndarray, " event"]:
    """Give the moment row of each event."""
    return np.repeat(np.arange(packed.n_moments), np.diff(packed.event_offset))


def events_of(packed: Packed, patient: int) -> PatientEvents:
    """Give one patient's events.

    Args:
        packed: the timelines.
        patient: row of the patient.
    """
    moments = packed.moments_of(patient)
    offset = packed.event_offset[moments.start : moments.stop + 1]
    moment = np.repeat(np.arange(moments.start, moments.stop), np.diff(offset))
    rows = slice(int(offset[0]), int(offset[-1]))
    return PatientEvents(
        moment=moment,
        available=packed.moment_time[moment],
        time=packed.event_time[rows],
        code=packed.event_code[rows],
        value=packed.event_value[rows],
        ref=packed.event_ref[rows],
    )
