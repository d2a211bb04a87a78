"""In: a hospital's settings. Out: a folder of FHIR files by site, and the truth beside them."""

import zlib
from collections.abc import Callable
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from residency.contract import specs
from residency.contract.lineage import Manifest, Rows, Step
from residency.contract.progress import Progress, silent
from residency.simulation.chances import RECORDS, stream
from residency.simulation.charting import coded, draw_chart
from residency.simulation.contacts import person
from residency.simulation.course import Course, course
from residency.simulation.genome import genomes
from residency.simulation.medicine import SITES, hospital
from residency.simulation.people import People, chart_rng, people
from residency.simulation.resources import SYSTEM, line
from residency.simulation.spec import HospitalSpec
from residency.simulation.truth import patients_table, risk_table, states_table

BLOCK: Final = 100
"""Patients drawn together: always all of them, so that no rounding depends on how many are wanted."""
BLOCKS_A_FILE: Final = 5
TYPES: Final = (
    "Patient",
    "Encounter",
    "Condition",
    "Observation",
    "MedicationRequest",
    "MedicationAdministration",
    "Procedure",
)


_Lines = dict[tuple[str, str], bytearray]
_Tables = tuple[pa.Table, pa.Table, pa.Table]


def simulate(out: Path, spec: HospitalSpec, *, now: datetime, progress: Progress = silent) -> Manifest:
    """Simulate a hospital of two sites, whose patients' hidden states and risks are known.

    Args:
        out: folder to write: `fhir/<site>/<type>.NNN.ndjson.gz` and `truth/`.
        spec: its size, seed and years.
        now: when the run starts.
        progress: told after each file of patients.

    Returns:
        The manifest; its rows are resources.
    """
    with Step(out, name="simulate", inputs=(), spec=specs.plain(spec), now=now) as step:
        if step.manifest is not None:
            return step.manifest
        truth: list[_Tables] = []
        n_files = -(-spec.n_patients // (BLOCK * BLOCKS_A_FILE))
        n = 0
        for number in range(n_files):
            made, tables = _part(step, spec, number)
            n, truth = n + made, truth + tables
            progress("patients", min((number + 1) * BLOCK * BLOCKS_A_FILE, spec.n_patients), spec.n_patients)
        for site in SITES:
            path = f"fhir/{site.name}/ConceptMap.000.ndjson.gz"
            n += step.file(path, make=lambda path: _gzip(path, _concept_map())).rows
        for i, name in enumerate(("patients", "states", "risk")):
            whole = pa.concat_tables(part[i] for part in truth)
            step.file(f"truth/{name}.parquet", make=_parquet(whole))
        step.file("truth/outcomes.json", make=_outcomes)
        facts = {"n_patients": spec.n_patients, "simulated": True}
        return step.finish(rows=Rows(read=n, kept=n), result=facts)


def _part(step: Step, spec: HospitalSpec, number: int) -> tuple[int, list[_Tables]]:
    """Make the files of some blocks of patients; give the number of resources, and the truth."""
    first = number * BLOCK * BLOCKS_A_FILE
    last = min(first + BLOCK * BLOCKS_A_FILE, spec.n_patients)
    blocks = [_block(spec, start) for start in range(first, last, BLOCK)]

    @cache
    def lines() -> _Lines:
        found: _Lines = {(site.name, kind): bytearray() for site in SITES for kind in TYPES}
        for group, hidden in blocks:
            whole = genomes(spec.seed, group.number)
            for row in range(min(BLOCK, last - int(group.number[0]))):
                one = person(group, hidden, row, spec.variant)
                rng = chart_rng(spec.seed, one.number)
                more = stream(spec.seed, one.number, RECORDS)
                chart = draw_chart(one, rng, african=bool(whole.african[row]), extra=more)
                for resource in coded(chart, rng):
                    line(resource, found[one.site.name, type(resource).__name__])
        return found

    n = 0
    for site in SITES:
        for kind in TYPES:
            make = _lines(lines, site.name, kind)
            n += step.file(f"fhir/{site.name}/{kind}.{number:03d}.ndjson.gz", make=make).rows
    return n, [_truth(group, hidden, spec) for group, hidden in blocks]


def _block(spec: HospitalSpec, first: int) -> tuple[People, Course]:
    group = people(spec, first, BLOCK)
    return group, course(group, spec)


def _truth(group: People, hidden: Course, spec: HospitalSpec) -> _Tables:
    tables = patients_table(group), states_table(group, hidden), risk_table(group, hidden, spec)
    left = spec.n_patients - int(group.number[0])
    if left >= BLOCK:
        return tables
    kept = patients_table(group)["source_id"].slice(0, left)
    patients, states, risks = (table.filter(pc.is_in(table["source_id"], kept)) for table in tables)
    return patients, states, risks


def _lines(lines: Callable[[], _Lines], site: str, kind: str) -> Callable[[Path], int]:
    return lambda path: _gzip(path, bytes(lines()[site, kind]))


def _gzip(path: Path, body: bytes) -> int:
    """Write a gzip file whose header tells no time and no name."""
    pressed = zlib.compressobj(1, wbits=31)
    path.write_bytes(pressed.compress(body) + pressed.flush())
    return body.count(b"\n")


def _parquet(table: pa.Table) -> Callable[[Path], int]:
    def make(path: Path) -> int:
        pq.write_table(table, path, compression="zstd")
        return int(table.num_rows)

    return make


def _outcomes(path: Path) -> int:
    body = msgspec.json.encode(hospital().outcomes)
    path.write_bytes(msgspec.json.format(body, indent=1) + b"\n")
    return len(hospital().outcomes)


def _concept_map() -> bytes:
    """Say which ICD-10-CM code each SNOMED code means."""
    element = [
        {
            "code": one.snomed,
            "display": one.snomed_display,
            "target": [{"code": one.icd, "display": one.icd_display, "equivalence": "equivalent"}],
        }
        for one in hospital().condition
    ]
    group = {"source": SYSTEM["SNOMED"], "target": SYSTEM["ICD10CM"], "element": element}
    found = {"resourceType": "ConceptMap", "id": "snomed-to-icd10cm", "status": "active", "group": [group]}
    return msgspec.json.encode(found) + b"\n"
