"""In: some patients. Out: their FHIR lines, what images and genomes are made of, and the truth."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa

from residency.simulation.chances import RECORDS, stream
from residency.simulation.charting import Chart, coded, draw_chart
from residency.simulation.contacts import Person
from residency.simulation.cover import cover
from residency.simulation.filming import Order, letters
from residency.simulation.lapses import lapse
from residency.simulation.medicine import SITES
from residency.simulation.notes import Note, notes
from residency.simulation.paperwork import Made, paperwork
from residency.simulation.people import DAY_US, chart_rng
from residency.simulation.resources import Resource, line
from residency.simulation.sequencing import Sample, sample
from residency.simulation.spec import HospitalSpec
from residency.simulation.stars import calls
from residency.simulation.studies import Study, studies

TYPES: Final = (
    "Patient", "Encounter", "Condition", "Observation", "MedicationRequest", "MedicationAdministration",
    "Procedure", "DiagnosticReport", "DocumentReference", "ImagingStudy", "AllergyIntolerance", "Coverage",
    "Consent", "FamilyMemberHistory",
)  # fmt: skip
_TIME: Final = pa.timestamp("us")
_WHO: Final = [("source_id", pa.string()), ("site", pa.string())]
NOTES: Final = pa.schema([
    *_WHO, ("source", pa.string()), ("time", _TIME), ("what", pa.string()), ("start", pa.int32()),
    ("end", pa.int32()), ("kind", pa.string()), ("concept", pa.string()), ("negated", pa.bool_()),
    ("historical", pa.bool_()), ("experiencer", pa.string()),
])  # fmt: skip
IMAGES: Final = pa.schema([
    *_WHO, ("source", pa.string()), ("time", _TIME), ("modality", pa.string()), ("study_uid", pa.string()),
    ("files", pa.int32()), ("file", pa.string()), ("ratio", pa.float64()), ("congestion", pa.float64()),
    ("effusion", pa.float64()), ("benign_mm", pa.float64()), ("tumour_mm", pa.float64()),
    ("burned_in", pa.bool_()), ("declared", pa.bool_()), ("inverted", pa.bool_()), ("top", pa.int32()),
    ("bottom", pa.int32()), ("left", pa.int32()), ("right", pa.int32()), ("fault", pa.string()),
])  # fmt: skip
LAPSES: Final = pa.schema([*_WHO, ("kind", pa.string()), ("time", _TIME), ("source", pa.string())])
GENOMES: Final = pa.schema([
    *_WHO, ("sequenced", pa.bool_()), ("african", pa.bool_()), ("gene", pa.string()),
    ("diplotype", pa.string()), ("phenotype", pa.string()),
])  # fmt: skip
SCHEMAS: Final = {"notes": NOTES, "images": IMAGES, "lapses": LAPSES, "genomes": GENOMES}
_Row = tuple[Any, ...]


@dataclass
class Part:
    """What is made of some patients; truth as rows, by table."""

    number: int
    lines: dict[tuple[str, str], bytearray]
    orders: dict[str, list[Order]]
    samples: dict[str, list[Sample]]
    rows: dict[str, list[_Row]] = field(default_factory=lambda: {name: [] for name in SCHEMAS})
    last: dict[str, str] = field(default_factory=dict)

    def add(self, person: Person, spec: HospitalSpec) -> None:
        """Draw one patient and write all that the hospital holds of them."""
        rng = chart_rng(spec.seed, person.number)
        chart = draw_chart(
            person, rng, african=person.african, extra=stream(spec.seed, person.number, RECORDS)
        )
        made = _made(chart, spec)
        for resource in _resources(made, rng, spec):
            line(resource, self.lines[chart.who.site, str(type(resource).__struct_config__.tag)])
        self._film(made, spec)
        if made.sample is not None:
            self.samples[chart.who.site].append(made.sample)
        self._tell(made)
        self.last[chart.who.site] = chart.who.id

    def _film(self, made: Made, spec: HospitalSpec) -> None:
        """Take up the examinations to be filmed, and tell what is in them."""
        if not spec.images:
            return
        who, other = made.chart.who, self.last.get(made.chart.who.site, "")
        doctors = {note.study: note.doctor for note in made.notes}
        doctor = made.notes[0].doctor if made.notes else "A Doctor"
        for study in made.studies:
            if study.fault == "other_patient" and not other:
                study = replace(study, fault="truncated")
            time = made.chart.desk.times(np.array([study.day]))[0][:19]
            order = Order(study, who, time, doctors.get(study.index, doctor), other)
            self.orders[who.site].append(order)
            self.rows["images"].append(self._image(order, made.chart))

    def _image(self, order: Order, chart: Chart) -> _Row:
        study, seen, box = order.study, order.study.chest, letters(order) or (None,) * 4
        file = f"dicom/{order.who.site}/{self.number:03d}/{order.file(0)}"
        return (
            order.who.id, order.who.site, f"ImagingStudy/{order.who.id}-i{study.index}",
            _time(chart, study.day), study.modality, study.uid, study.n_images, file,
            seen.ratio, seen.congestion, seen.effusion, seen.benign_mm, seen.tumour_mm,
            study.burned, study.declared, study.inverted, *box, study.fault,
        )  # fmt: skip

    def _tell(self, made: Made) -> None:
        person = made.chart.desk.person
        chart, who = made.chart, (made.chart.who.id, made.chart.who.site)
        for i, note in enumerate(made.notes):
            self.rows["notes"] += _told(
                note, (*who, f"DocumentReference/{who[0]}-n{i}", _time(chart, note.day))
            )
        if made.lapse is not None:
            slip = made.lapse
            self.rows["lapses"].append((*who, slip.kind, _time(chart, slip.day), slip.source))
        for call in calls(person.count).values():
            sequenced = made.sample is not None
            self.rows["genomes"].append(
                (*who, sequenced, person.african, call.gene, call.diplotype, call.phenotype)
            )

    def truth(self) -> dict[str, pa.Table]:
        """Give the truth as tables."""
        found = {}
        for name, schema in SCHEMAS.items():
            columns = list(zip(*self.rows[name], strict=True)) or [()] * len(schema)
            arrays = [pa.array(column, one.type) for column, one in zip(columns, schema, strict=True)]
            found[name] = pa.Table.from_arrays(arrays, schema=schema)
        return found


def part(number: int, persons: Iterator[Person], spec: HospitalSpec) -> Part:
    """Make everything of some patients but the images' pixels."""
    found = Part(
        number,
        {(site.name, kind): bytearray() for site in SITES for kind in TYPES},
        {site.name: [] for site in SITES},
        {site.name: [] for site in SITES},
    )
    for person in persons:
        found.add(person, spec)
    return found


def _made(chart: Chart, spec: HospitalSpec) -> Made:
    filmed: list[Study] = studies(chart, spec) if spec.images else []
    slip = lapse(chart, filmed, spec)
    written = notes(chart, filmed, slip, spec) if spec.notes else []
    return Made(chart, filmed, written, slip, sample(chart, spec) if spec.genomes else None)


def _resources(made: Made, rng: np.random.Generator, spec: HospitalSpec) -> Iterator[Resource]:
    yield from coded(made.chart, rng)
    yield from paperwork(made, spec.seed)
    yield from cover(made.chart, spec.seed)


def _time(chart: Chart, day: float) -> int:
    """Give a wall-clock time in microseconds since 1970, to the second as the records have it."""
    return round((day + chart.desk.person.entry_day) * 86_400) * (DAY_US // 86_400)


def _told(note: Note, of: _Row) -> list[_Row]:
    """Give a row for each identifier and each fact in a note."""
    empty = (None, None, None, None)
    found: list[_Row] = [(*of, "identifier", one.start, one.end, one.kind, *empty) for one in note.spans]
    found += [
        (*of, "fact", one.start, one.end, None, one.concept, one.negated, one.historical, one.experiencer)
        for one in note.facts
    ]  # fmt: skip
    return found
