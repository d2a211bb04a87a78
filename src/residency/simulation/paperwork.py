"""In: a person's chart and what was made of it. Out: FHIR resources beyond coded events."""

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from msgspec import Raw

from residency.simulation.chances import RECORDS
from residency.simulation.charting import Chart, quantity
from residency.simulation.contacts import MINUTE
from residency.simulation.dicom import CLASSES
from residency.simulation.filming import accession
from residency.simulation.findings import findings
from residency.simulation.lapses import Lapse
from residency.simulation.medicine import hospital
from residency.simulation.notes import KINDS, Note
from residency.simulation.reports import DiagnosticReport, DocumentReference, GenomicObservation, ImagingStudy
from residency.simulation.resources import Observation, Resource, concept, raw, reference
from residency.simulation.sequencing import Sample
from residency.simulation.stars import Call, calls
from residency.simulation.studies import Study
from residency.simulation.wording import Choices

_PANELS: Final = {
    "metabolic": ("24323-8", "Comprehensive metabolic 2000 panel - Serum or Plasma"),
    "count": ("58410-2", "CBC panel - Blood by Automated count"),
    "lipids": ("57698-3", "Lipid panel with direct LDL - Serum or Plasma"),
    "liver": ("24325-3", "Hepatic function 2000 panel - Serum or Plasma"),
    "kidney": ("24362-6", "Renal function 2000 panel - Serum or Plasma"),
}
_OTHER: Final = ("11502-2", "Laboratory report")
_BEDSIDE: Final = ("vitals", "size")
_TSH: Final = "3016-3"
_TSH_VALUE: Final = 14.6
_GENOME_DAYS: Final = 24.0


@dataclass(frozen=True)
class Made:
    """What was made of a chart."""

    chart: Chart
    studies: list[Study]
    notes: list[Note]
    lapse: Lapse | None
    sample: Sample | None


def paperwork(made: Made, seed: int) -> Iterator[Resource]:
    """Write everything that is not a coded event."""
    yield from _laboratory(made.chart)
    yield from _imaging(made, seed)
    yield from _documents(made)
    if made.sample is not None:
        yield from _genome(made.chart, made.sample)
    if made.lapse is not None:
        yield from _slipped(made.chart, made.lapse)


@cache
def _panel_codes() -> tuple[Raw, ...]:
    return tuple(concept("LOINC", *_PANELS.get(one.name, _OTHER)) for one in hospital().panel)


@cache
def _panel_of() -> np.ndarray:
    names = [one.name for one in hospital().panel]
    return np.array([-1 if one.panel in _BEDSIDE else names.index(one.panel) for one in hospital().lab])


@cache
def _category(code: str, display: str) -> Raw:
    return raw(
        [
            {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/v2-0074",
                        "code": code,
                        "display": display,
                    }
                ]
            }
        ]
    )


def _laboratory(chart: Chart) -> Iterator[DiagnosticReport]:
    """Report the results of a panel at a contact together, when the last of them is out."""
    desk, measured = chart.desk, chart.measured
    panel = _panel_of()[measured.lab]
    rows = np.flatnonzero(panel >= 0)
    key = measured.contact[rows] * 1000 + panel[rows]
    order = rows[np.argsort(key, kind="stable")]
    starts = np.flatnonzero(np.diff(np.sort(key), prepend=-1))
    groups = np.split(order, starts[1:]) if len(starts) else []
    first = np.array([group[0] for group in groups], np.int64)
    out = np.array([measured.issued[group].max() for group in groups])
    rows_ = zip(
        groups,
        desk.visit(measured.contact[first]),
        desk.times(measured.day[first]),
        desk.times(out),
        strict=True,
    )
    for i, (group, visit, time, issued) in enumerate(rows_):
        yield DiagnosticReport(
            f"{desk.id}-r{i}", "final", _category("LAB", "Laboratory"), _panel_codes()[panel[group[0]]],
            desk.subject, visit, time, issued,
            result=[reference("Observation", f"{desk.id}-o{row}") for row in group.tolist()],
        )  # fmt: skip


def _imaging(made: Made, seed: int) -> Iterator[Resource]:
    desk = made.chart.desk
    for study in made.studies:
        visit = desk.visits[int(desk.contacts.visit[study.contact])]
        time, issued = desk.times(np.array([study.day, study.day + 0.05]))
        yield _study(made, study, visit, time)
        chance = Choices(np.random.default_rng([seed, desk.person.number, RECORDS, study.index]))
        name = ("24627-2", "CT Chest") if study.modality == "CT" else ("36643-5", "XR Chest 2 Views")
        yield DiagnosticReport(
            f"{desk.id}-g{study.index}", "final", _category("RAD", "Radiology"), concept("LOINC", *name),
            desk.subject, visit, time, issued,
            imaging_study=[reference("ImagingStudy", f"{desk.id}-i{study.index}")],
            conclusion=" ".join(findings(study, chance).impression),
        )  # fmt: skip


def _study(made: Made, study: Study, visit: Raw, time: str) -> ImagingStudy:
    desk = made.chart.desk
    modality = {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": study.modality}
    sop = {"system": "urn:ietf:rfc:3986", "code": f"urn:oid:{CLASSES[study.modality]}"}
    instances = [{"uid": uid, "sopClass": sop, "number": i + 1} for i, uid in enumerate(study.image_uids)]
    number = {"type": {"coding": [{"code": "ACSN"}]}, "system": f"urn:{made.chart.who.site}:accession"}
    return ImagingStudy(
        id=f"{desk.id}-i{study.index}", status="available",
        identifier=raw([
            {"system": "urn:dicom:uid", "value": f"urn:oid:{study.uid}"},
                {**number, "value": accession(study)},
        ]),
        modality=raw([modality]), subject=desk.subject, encounter=visit, started=time, number_of_series=1,
        number_of_instances=study.n_images,
        description="CT CHEST" if study.modality == "CT" else "CHEST PA",
        series=raw([{
            "uid": study.series_uid, "number": 1, "modality": modality,
            "bodySite": {"system": "http://snomed.info/sct", "code": "51185008", "display": "Thorax"},
            "numberOfInstances": study.n_images, "instance": instances,
        }]),
    )  # fmt: skip


def _documents(made: Made) -> Iterator[DocumentReference]:
    desk = made.chart.desk
    category = raw([{"coding": [{
        "system": "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category",
                        "code": "clinical-note",
    }]}])  # fmt: skip
    times = desk.times(np.array([note.day for note in made.notes]))
    for i, (note, time) in enumerate(zip(made.notes, times, strict=True)):
        visit = desk.visits[int(desk.contacts.visit[note.contact])]
        attachment = {
            "contentType": "text/plain; charset=utf-8", "creation": time,
            "data": b64encode(note.text.encode()).decode(),
        }  # fmt: skip
        yield DocumentReference(
            id=f"{desk.id}-n{i}", status="current", doc_status="final",
            type=concept("LOINC", *KINDS[note.kind]), category=category, subject=desk.subject, date=time,
            author=raw([{"display": f"Dr. {note.doctor}"}]), content=raw([{"attachment": attachment}]),
            context=raw({"encounter": [visit], "period": {"start": time}}),
        )  # fmt: skip


def _genome(chart: Chart, sample: Sample) -> Iterator[Resource]:
    """Report the pharmacogenes as a laboratory calls them, and the sequencing as a whole."""
    desk = chart.desk
    day = float(desk.contacts.day[sample.contact])
    visit = desk.visits[int(desk.contacts.visit[sample.contact])]
    time, issued = desk.times(np.array([day, day + _GENOME_DAYS]))
    found = [*calls(sample.count).values()]
    for i, call in enumerate(found):
        yield _gene(f"{desk.id}-x{i}", call, desk.subject, (visit, time, issued))
    yield DiagnosticReport(
        f"{desk.id}-x", "final", _category("GE", "Genetics"),
        concept("LOINC", "51969-4", "Genetic analysis report"), desk.subject, visit, time, issued,
        result=[reference("Observation", f"{desk.id}-x{i}") for i in range(len(found))],
        conclusion="; ".join(f"{call.gene} {call.diplotype}: {call.phenotype}" for call in found),
    )  # fmt: skip


def _gene(of: str, call: Call, subject: Raw, when: tuple[Raw, str, str]) -> GenomicObservation:
    """Write one gene: its genotype as star alleles, or whether a variant is there, and the phenotype."""
    star = call.gene != "HLA-B"
    code = ("84413-4", "Genotype display name") if star else ("69548-6", "Genetic variant assessment")
    present = {"system": "http://loinc.org", "code": "LA9634-2", "display": "Absent"}
    if not star and call.score < 2:
        present = {"system": "http://loinc.org", "code": "LA9633-4", "display": "Present"}
    value = (
        {"text": f"{call.gene} {call.diplotype}"}
        if star
        else {"coding": [present], "text": f"{call.gene}*57:01"}
    )
    gene = {
        "code": {"coding": [{"system": "http://loinc.org", "code": "48018-6"}]},
        "valueCodeableConcept": {"text": call.gene},
    }
    effect = {
        "code": {"coding": [{"system": "http://loinc.org", "code": "53040-2"}]},
        "valueCodeableConcept": {"text": call.phenotype},
    }
    return GenomicObservation(
        of, "final", raw([{"coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory",
        }]}]),
        concept("LOINC", *code), subject, *when, raw(value), raw([gene, effect]),
    )  # fmt: skip


def _slipped(chart: Chart, lapse: Lapse) -> Iterator[Resource]:
    """Plant the records that a lapse needs: a result that nobody looks at, a test that never comes back."""
    desk = chart.desk
    visit = desk.visits[int(desk.contacts.visit[lapse.contact])]
    before = lapse.day - 5 * MINUTE
    time, issued = desk.times(np.array([before, before + 0.3]))
    if lapse.kind == "unacted_result":
        lab = [one.code for one in hospital().lab].index(_TSH)
        value = _TSH_VALUE * float(desk.parts.factor[lab]) + float(desk.parts.offset[lab])
        yield Observation(
            f"{desk.id}-l0", "final", desk.parts.labs[lab], desk.subject, visit, time, issued,
            value_quantity=quantity(desk.parts, lab, value),
        )  # fmt: skip
    if lapse.kind == "pending_test":
        yield DiagnosticReport(
            f"{desk.id}-l0", "registered", _category("LAB", "Laboratory"), concept("LOINC", *_OTHER),
            desk.subject, visit, time, issued,
        )  # fmt: skip
