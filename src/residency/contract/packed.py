"""In: folders of memory-mapped arrays. Out: packed timelines (format 1): patients → moments → events.

A *moment* is one distinct `available`. Moment 0 of a patient holds what has no time of its own (static
facts) and the birth; where the birth is not known its time is `STATIC`. Moments rise strictly in time
within a patient.
"""

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float32, Int8, Int16, Int32, Int64

from residency.contract.errors import LineageError

PACKED_FORMAT: Final = 1
STATIC: Final = int(np.iinfo(np.int64).min)
UNKNOWN: Final = 0  # event_code of a code that the vocabulary lacks
DAY: Final = 86_400_000_000  # microseconds

ATTACHMENT_KINDS: Final = ("note", "image", "variants")


@dataclass(frozen=True)
class Packed:
    """Some patients' timelines. Times are µs since 1970, naive local.

    Offsets have one more item than what they divide, begin at 0 and never fall: the moments of patient `p`
    are `moment_offset[p]:moment_offset[p + 1]`, the events of moment `m` are
    `event_offset[m]:event_offset[m + 1]`.

    Attributes:
        subject: `subject_id` of each patient, rising.
        moment_offset: moments of each patient.
        moment_time: when each moment became available; `STATIC` for "always known".
        event_offset: events of each moment, in the order of their `time`, then code.
        event_code: index in the vocabulary; `UNKNOWN` where it has none.
        event_value: value in the vocabulary's unit; NaN where none.
        event_time: when each event happened: at or before its moment's time; `STATIC` where it has no time.
        event_ref: row in the events shard that the events were packed from.
        attachment_offset: attachments (notes, images, variants) of each moment.
        attachment_kind: index in `ATTACHMENT_KINDS`.
        attachment_ref: row in the table of that kind.
        observation_offset: observation intervals of each patient, apart and rising.
        observation_start: first instant at which the patient would have been seen.
        observation_end: last one; the patient is censored there.
        label_offset: labels of each patient, rising by time.
        label_time: prediction time.
        label_task: index in the data set's tasks.
        label_value: the label; 0 or 1 for a boolean.
    """

    subject: Int64[np.ndarray, " patient"]
    moment_offset: Int64[np.ndarray, " patient_and_1"]
    moment_time: Int64[np.ndarray, " moment"]
    event_offset: Int64[np.ndarray, " moment_and_1"]
    event_code: Int32[np.ndarray, " event"]
    event_value: Float32[np.ndarray, " event"]
    event_time: Int64[np.ndarray, " event"]
    event_ref: Int64[np.ndarray, " event"]
    attachment_offset: Int64[np.ndarray, " moment_and_1"]
    attachment_kind: Int8[np.ndarray, " attachment"]
    attachment_ref: Int64[np.ndarray, " attachment"]
    observation_offset: Int64[np.ndarray, " patient_and_1"]
    observation_start: Int64[np.ndarray, " observation"]
    observation_end: Int64[np.ndarray, " observation"]
    label_offset: Int64[np.ndarray, " patient_and_1"]
    label_time: Int64[np.ndarray, " label"]
    label_task: Int16[np.ndarray, " label"]
    label_value: Float32[np.ndarray, " label"]

    @property
    def n_patients(self) -> int:
        """How many patients there are."""
        return len(self.subject)

    @property
    def n_moments(self) -> int:
        """How many moments there are."""
        return len(self.moment_time)

    @property
    def n_events(self) -> int:
        """How many events there are."""
        return len(self.event_code)

    @classmethod
    def open(cls, folder: Path) -> "Packed":
        """Map a folder into memory.

        Raises:
            LineageError: the folder is no packed timeline of format 1, or an array is missing or cut short.
        """
        try:
            stated = json.loads((folder / "packed.json").read_text("utf-8"))
            if stated["format"] != PACKED_FORMAT:
                raise LineageError(
                    f"packed format {stated['format']} is not {PACKED_FORMAT}", where=str(folder)
                )
            arrays = {f.name: _map(folder / f"{f.name}.npy") for f in fields(cls)}
        except (OSError, ValueError, KeyError, TypeError):
            raise LineageError("not a packed timeline, or one cut short", where=str(folder)) from None
        return cls(**arrays)

    def write(self, folder: Path) -> None:
        """Write one `.npy` an array, and `packed.json`."""
        folder.mkdir(parents=True)
        for field in fields(self):
            np.save(folder / f"{field.name}.npy", getattr(self, field.name), allow_pickle=False)
        stated = {
            "format": PACKED_FORMAT,
            "patients": self.n_patients,
            "moments": self.n_moments,
            "events": self.n_events,
        }
        (folder / "packed.json").write_text(json.dumps(stated, sort_keys=True), "utf-8")

    def moments_of(self, patient: int) -> slice:
        """Where a patient's moments lie."""
        return slice(int(self.moment_offset[patient]), int(self.moment_offset[patient + 1]))

    def with_arrays(self, **arrays: np.ndarray) -> "Packed":
        """Give the same timelines with some arrays replaced."""
        return replace(self, **arrays)


def _map(path: Path) -> np.ndarray:
    array: np.ndarray = np.load(
        path, mmap_mode="r" if path.stat().st_size > 256 else None, allow_pickle=False
    )
    return array
