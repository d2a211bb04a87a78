"""In: a hospital's settings. Out: its FHIR, DICOM and VCF files by site, and the truth beside them."""

import zlib
from collections.abc import Callable, Iterator
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
from residency.simulation.contacts import Person, person
from residency.simulation.course import Course, course
from residency.simulation.filming import film
from residency.simulation.medicine import SITES, hospital
from residency.simulation.parts import SCHEMAS, TYPES, Part, part
from residency.simulation.people import People, people
from residency.simulation.resources import SYSTEM
from residency.simulation.sequencing import vcf
from residency.simulation.spec import HospitalSpec
from residency.simulation.truth import truth_tables

BLOCK: Final = 100
"""Patients drawn together: always all of them, so that no rounding depends on how many are wanted."""
BLOCKS_A_FILE: Final = 5
_Tables = dict[str, pa.Table]


def simulate(out: Path, spec: HospitalSpec, *, now: datetime, progress: Progress = silent) -> Manifest:
    """Simulate a hospital of two sites, whose patients' hidden states and risks are known.

    Args:
        out: folder to write: `fhir/<site>/<type>.NNN.ndjson.gz`, `dicom/<site>/NNN/*.dcm`,
            `vcf/<site>/NNN.vcf.gz` and `truth/`.
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
        told: list[dict[str, pa.Table]] = []
        n_files = -(-spec.n_patients // (BLOCK * BLOCKS_A_FILE))
        n = 0
        for number in range(n_files):
            made, tables, more = _part(step, spec, number)
            n, truth, told = n + made, truth + tables, [*told, more]
            progress("patients", min((number + 1) * BLOCK * BLOCKS_A_FILE, spec.n_patients), spec.n_patients)
        for site in SITES:
            path = f"fhir/{site.name}/ConceptMap.000.ndjson.gz"
            n += step.file(path, make=lambda path: _gzip(path, _concept_map())).rows
        for name in truth[0]:
            whole = pa.concat_tables(part[name] for part in truth)
            step.file(f"truth/{name}.parquet", make=_parquet(whole))
        for name in SCHEMAS:
            step.file(f"truth/{name}.parquet", make=_parquet(pa.concat_tables(one[name] for one in told)))
        step.file("truth/outcomes.json", make=_outcomes)
        facts = {"n_patients": spec.n_patients, "simulated": True}
        return step.finish(rows=Rows(read=n, kept=n), result=facts)


def _part(step: Step, spec: HospitalSpec, number: int) -> tuple[int, list[_Tables], dict[str, pa.Table]]:
    """Make the files of some blocks of patients; give the number of resources, and the truth."""
    first = number * BLOCK * BLOCKS_A_FILE
    last = min(first + BLOCK * BLOCKS_A_FILE, spec.n_patients)
    blocks = [_block(spec, start) for start in range(first, last, BLOCK)]

    @cache
    def made() -> Part:
        return part(number, _persons(blocks, last, spec), spec)

    n = 0
    for site in SITES:
        for kind in TYPES:
            make = _lines(made, site.name, kind)
            n += step.file(f"fhir/{site.name}/{kind}.{number:03d}.ndjson.gz", make=make).rows
        if spec.images:
            step.file(f"dicom/{site.name}/{number:03d}", make=_film(made, site.name))
        if spec.genomes:
            step.file(f"vcf/{site.name}/{number:03d}.vcf.gz", make=_vcf(made, site.name))
    return n, [_truth(group, hidden, spec) for group, hidden in blocks], made().truth()


def _persons(blocks: list[tuple[People, Course]], last: int, spec: HospitalSpec) -> Iterator[Person]:
    """Give the patients wanted."""
    for group, hidden in blocks:
        for row in range(min(BLOCK, last - int(group.number[0]))):
            yield person(group, hidden, row, spec.variant)


def _block(spec: HospitalSpec, first: int) -> tuple[People, Course]:
    group = people(spec, first, BLOCK)
    return group, course(group, spec)


def _truth(group: People, hidden: Course, spec: HospitalSpec) -> _Tables:
    tables = truth_tables(group, hidden, spec)
    left = spec.n_patients - int(group.number[0])
    if left >= BLOCK:
        return tables
    kept = tables["patients"]["source_id"].slice(0, left)
    return {name: table.filter(pc.is_in(table["source_id"], kept)) for name, table in tables.items()}


def _lines(made: Callable[[], Part], site: str, kind: str) -> Callable[[Path], int]:
    return lambda path: _gzip(path, bytes(made().lines[site, kind]))


def _film(made: Callable[[], Part], site: str) -> Callable[[Path], int]:
    return lambda path: film(made().orders[site], path)


def _vcf(made: Callable[[], Part], site: str) -> Callable[[Path], int]:
    def make(path: Path) -> int:
        samples = made().samples[site]
        path.write_bytes(vcf(samples))
        return len(samples)

    return make


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
