"""In: a person's chart and images. Out: something that slips in their care, where there is occasion for it.

Planted and told: a result that nobody acts on, a nodule without a second CT, a test that never comes back, a
drug without its laboratory control, a patient who does not return.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from residency.simulation.chances import LAPSES, stream
from residency.simulation.charting import Chart
from residency.simulation.contacts import OFFICE, STAY
from residency.simulation.medicine import hospital
from residency.simulation.spec import HospitalSpec
from residency.simulation.studies import Study

Kind = Literal[
    "unacted_result",
    "nodule_without_follow_up",
    "pending_test",
    "drug_without_monitoring",
    "lost_to_follow_up",
]
RARE: Final[tuple[Kind, ...]] = ("nodule_without_follow_up", "drug_without_monitoring")
COMMON: Final[tuple[Kind, ...]] = ("unacted_result", "pending_test", "lost_to_follow_up")
_RARE_TIMES: Final = 4.0
_QUIET_DAYS: Final = 270.0
_TSH: Final = "3016-3"
_CONTROLLED: Final = (
    "314076",
    "313096",
    "313988",
)  # lisinopril, spironolactone, furosemide: creatinine, potassium
_CONTROLS: Final = ("2160-0", "2823-3")


@dataclass(frozen=True)
class Lapse:
    """What slipped.

    Attributes:
        kind: of lapse.
        contact: at which it began.
        day: from entry.
        source: the record it hangs on, `Observation/…`.
        study: index of the examination, for a nodule; −1 for other kinds.
    """

    kind: Kind
    contact: int
    day: float
    source: str
    study: int = -1


def lapse(chart: Chart, made: list[Study], spec: HospitalSpec) -> Lapse | None:
    """Plant a lapse in the care of some; where there is occasion for a rare one, it is planted more often."""
    rng = stream(spec.seed, chart.desk.person.number, LAPSES)
    u = rng.random(len(RARE) + 1)
    for kind, draw in zip(RARE, u, strict=False):
        found = _planted(kind, chart, made, rng) if draw < _RARE_TIMES * spec.lapses else None
        if found is not None:
            return found
    if u[-1] >= spec.lapses:
        return None
    order = [COMMON[int(i)] for i in rng.permutation(len(COMMON))]
    tried = (_planted(kind, chart, made, rng) for kind in order)
    return next((found for found in tried if found is not None), None)


def _planted(kind: Kind, chart: Chart, made: list[Study], rng: np.random.Generator) -> Lapse | None:
    if kind == "nodule_without_follow_up":
        return _nodule(chart, made)
    if kind == "unacted_result":
        return _unacted(chart, rng)
    if kind == "pending_test":
        return _pending(chart, rng)
    if kind == "drug_without_monitoring":
        return _unmonitored(chart)
    return _lost(chart)


def _nodule(chart: Chart, made: list[Study]) -> Lapse | None:
    """Find a CT with a nodule that is the last one, though the patient was seen for a year more."""
    for study in reversed(made):
        mm = max(study.chest.benign_mm, study.chest.tumour_mm)
        if study.modality == "CT":
            later = chart.desk.contacts.day.max() > study.day + 365
            if mm >= 5 and later and mm < 25:
                source = f"ImagingStudy/{chart.who.id}-i{study.index}"
                return Lapse("nodule_without_follow_up", study.contact, study.day, source, study.index)
            return None
    return None


def _unacted(chart: Chart, rng: np.random.Generator) -> Lapse | None:
    """Find a visit after which a TSH is not taken for long; a very high one is planted there."""
    seen, measured = chart.desk.contacts, chart.measured
    lab = [one.code for one in hospital().lab].index(_TSH)
    taken = measured.day[measured.lab == lab]
    office = np.flatnonzero((seen.contact_kind == OFFICE) & (seen.day < seen.day.max() - _QUIET_DAYS))
    for contact in rng.permutation(office).tolist():
        day = float(seen.day[contact])
        if not ((taken > day - 1) & (taken < day + _QUIET_DAYS)).any():
            return Lapse("unacted_result", contact, day, f"Observation/{chart.who.id}-l0")
    return None


def _pending(chart: Chart, rng: np.random.Generator) -> Lapse | None:
    """Choose the last day of a stay: a test is out at discharge and stays so."""
    seen = chart.desk.contacts
    last = np.append(np.diff(seen.visit) > 0, True)
    stays = np.flatnonzero(last & (seen.contact_kind == STAY))
    if not len(stays):
        return None
    contact = int(stays[int(rng.random() * len(stays))])
    return Lapse("pending_test", contact, float(seen.day[contact]), f"DiagnosticReport/{chart.who.id}-l0")


def _unmonitored(chart: Chart) -> Lapse | None:
    """Find the first order of a drug that wants controls, with none for half a year although they came."""
    seen, measured = chart.desk.contacts, chart.measured
    labs = [i for i, one in enumerate(hospital().lab) if one.code in _CONTROLS]
    taken = measured.day[np.isin(measured.lab, labs)]
    wanted = [i for i, one in enumerate(hospital().drug) if one.code in _CONTROLLED]
    begun: set[int] = set()
    for i, (contact, drug) in enumerate(chart.treated.ordered.tolist()):
        if drug not in wanted or drug in begun:
            continue
        begun.add(drug)
        day = float(seen.day[contact])
        came = ((seen.day > day + 30) & (seen.day < day + 180)).any()
        if came and not ((taken > day + 1) & (taken < day + 180)).any():
            return Lapse("drug_without_monitoring", contact, day, f"MedicationRequest/{chart.who.id}-m{i}")
    return None


def _lost(chart: Chart) -> Lapse | None:
    """Find an office visit with nothing for a long time after, and the patient alive."""
    seen = chart.desk.contacts
    end = min(chart.desk.person.until, chart.desk.person.death)
    gaps = np.diff(np.append(seen.day, end))
    quiet = np.flatnonzero((gaps > _QUIET_DAYS) & (seen.contact_kind == OFFICE))
    if not len(quiet):
        return None
    contact = int(quiet[gaps[quiet].argmax()])
    source = f"Encounter/{chart.who.id}-e{int(seen.visit[contact])}"
    return Lapse("lost_to_follow_up", contact, float(seen.day[contact]), source)
