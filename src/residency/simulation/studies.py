"""In: a person's chart. Out: which images of their chest were made, when, and what they show."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from jaxtyping import Float64

from residency.simulation.anatomy import Chest, body, chest
from residency.simulation.chances import BODY, IMAGES, stream
from residency.simulation.charting import Chart
from residency.simulation.contacts import MINUTE
from residency.simulation.dicom import uid
from residency.simulation.medicine import hospital
from residency.simulation.selection import image_chance
from residency.simulation.spec import HospitalSpec

X_RAY, CT = "399208008", "169069000"
MOST: Final = {X_RAY: 6, CT: 2}
"""Images that the archive keeps of one patient."""
_AT_EMERGENCY, _AT_ADMISSION, _AT_VISIT = 0.14, 0.3, 0.006
_BREATHLESS, _FAILING = 0.1, 0.8
_DIGITAL_FROM: Final = 15_340  # days since 1970: at north the plate readers were replaced in 2012
Fault = Literal["", "other_patient", "truncated"]


@dataclass(frozen=True)
class Study:
    """One examination: a radiograph, or a CT of some slices.

    Attributes:
        index: among the person's.
        contact: at which it was made.
        day: from entry.
        modality: CR, DX or CT.
        chest: what was there to be seen.
        uid: of the study; those of series and images follow from it.
        n_images: files.
        burned: words stand in the pixels.
        declared: the file says so.
        inverted: MONOCHROME1.
        fault: planted in its files.
    """

    index: int
    contact: int
    day: float
    modality: Literal["CR", "DX", "CT"]
    chest: Chest
    uid: str
    n_images: int
    burned: bool
    declared: bool
    inverted: bool
    fault: Fault

    @property
    def series_uid(self) -> str:
        """Of its only series."""
        return uid("series", self.uid)

    @property
    def image_uids(self) -> tuple[str, ...]:
        """Of its images, in their order."""
        return tuple(uid("image", self.uid, i) for i in range(self.n_images))


def studies(chart: Chart, spec: HospitalSpec) -> list[Study]:
    """Draw the examinations of a person, in the order of time."""
    person = chart.desk.person
    rng = stream(spec.seed, person.number, IMAGES)
    built = body(person, stream(spec.seed, person.number, BODY))
    found: list[Study] = []
    for code in (X_RAY, CT):
        for contact in _made(chart, code, rng):
            day = float(chart.desk.contacts.day[contact]) + 15 * MINUTE
            seen = chest(person, built, day, rng)
            found.append(_study(chart, spec, (code, contact, day, seen), rng))
    found.sort(key=lambda one: one.day)
    return [_numbered(one, i, chart.who.id, spec.seed) for i, one in enumerate(found)]


def _made(chart: Chart, code: str, rng: np.random.Generator) -> list[int]:
    """Choose the contacts: those with the procedure; for radiographs some others too."""
    procedures = [one.code for one in hospital().procedure]
    done = chart.treated.done
    contacts = set(done[done[:, 1] == procedures.index(code), 0].tolist())
    seen = chart.desk.contacts
    draw: Float64[np.ndarray, " contact"] = rng.random(len(seen.day))
    archived = rng.random(len(seen.day)) < image_chance(chart.desk.person, seen)
    if code == X_RAY:
        first = np.diff(seen.visit, prepend=-1) > 0
        kind = seen.contact_kind
        chance = np.array([_AT_VISIT, _AT_EMERGENCY, _AT_ADMISSION])[kind] + _for_the_heart(chart)
        extra = first & (draw < chance)
        contacts |= set(np.flatnonzero(extra).tolist())
    held = [contact for contact in contacts if archived[contact]]
    kept = sorted(held, key=lambda contact: draw[contact])[: MOST[code]]
    return sorted(kept)


def _for_the_heart(chart: Chart) -> Float64[np.ndarray, " contact"]:
    """Give the chance of a radiograph for breathlessness that nobody has named, and at the diagnosis."""
    person, day = chart.desk.person, chart.desk.contacts.day
    one = [found.name for found in hospital().disease].index("heart_failure")
    hidden = person.hidden(day)[:, one]
    found = np.abs(day - person.diagnosis[one]) < MINUTE
    chance: np.ndarray = _BREATHLESS * hidden + _FAILING * found
    return chance


def _study(
    chart: Chart, spec: HospitalSpec, made: tuple[str, int, float, Chest], rng: np.random.Generator
) -> Study:
    """Choose the device and its habits."""
    code, contact, day, seen = made
    u = rng.random(6).tolist()
    north = chart.who.site == "north"
    old = north and day + chart.desk.person.entry_day < _DIGITAL_FROM
    tomography = code == CT
    burned = not tomography and u[0] < (0.3 if old else 0.05)
    fault: Fault = ""
    if u[4] < spec.faulty_per_1000 / 1000:
        fault = "other_patient" if u[5] < 0.5 else "truncated"
    return Study(
        index=0, contact=contact, day=day, modality="CT" if tomography else "CR" if old else "DX", chest=seen,
        uid="", n_images=12 + int(u[3] * 5) if tomography else 1, burned=burned,
        declared=burned and u[1] < 0.5, inverted=not tomography and u[2] < (0.3 if old else 0.06),
        fault=fault,
    )  # fmt: skip


def _numbered(one: Study, index: int, patient: str, seed: int) -> Study:
    kept = {name: getattr(one, name) for name in one.__dataclass_fields__}
    return Study(**{**kept, "index": index, "uid": uid("study", seed, patient, index)})
