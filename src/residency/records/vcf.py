"""In: VCF files, plain or bgzipped, of one sample or many. Out: variants, one row a variant and patient.

Read by ourselves, line by line, since htslib prints what it cannot read (ADR 0005). What a caller did not
call, or called as the reference, is counted and left out.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa

from residency.contract import schema, specs
from residency.contract.errors import InputError
from residency.contract.identifiers import subject_id_of
from residency.contract.plugins import Dropped, Rows
from residency.contract.specs import spec
from residency.records import clock
from residency.records.clock import Clock
from residency.records.documents import Document, listing, unpacked
from residency.records.settings import Settings
from residency.records.side_tables import moment
from residency.records.vcf_lines import BadFile, Header, Reader, header_of

PATTERNS: Final = ("*.vcf", "*.vcf.gz", "*.vcf.bgz", "*.gvcf", "*.gvcf.gz")
_BGZF: Final = b"\x1f\x8b\x08\x04"
_BGZF_END: Final = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_ROWS: Final = 100_000


@spec
class VcfMapping(Settings):
    """How VCF is read; a mapping file is optional.

    Attributes:
        pattern: regular expression on a sample's name whose first group is the patient's id, where the name
            holds more than that.
        assembly: of the files, where their headers do not tell.
        time: when the genomes were known, ISO 8601; where not given, the time of the patient's report of a
            genome (FHIR), else none.
        gene_keys: of INFO, the first that is there names the gene.
        filters: values of FILTER that pass.
        reference_calls: also keep what was called as the reference.
        genome: all files' rows of a `sample` are one genome, or those of each `file`.
    """

    pattern: str = ""
    assembly: str = ""
    time: str = ""
    gene_keys: tuple[str, ...] = ("GENE", "GENEINFO", "PX", "ANN")
    filters: tuple[str, ...] = ("PASS", ".")
    reference_calls: bool = False
    genome: Literal["sample", "file"] = "sample"

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            groups = re.compile(self.pattern or "()").groups
        except re.error:
            groups = 0
        if not groups:
            raise ValueError("pattern must be a regular expression with a group: put the id in ( )")
        if self.time and Clock().first[self.time] == clock.BAD:
            raise ValueError("time is no time in ISO 8601")


class VcfSource:
    """Reads VCF."""

    def read(self, paths: tuple[Path, ...], mapping: dict[str, Any]) -> Iterator[Rows | Dropped]:
        """Give every variant, and why others were left out."""
        return self.read_documents(self.documents(paths, mapping), mapping)

    def documents(self, paths: tuple[Path, ...], mapping: dict[str, Any]) -> tuple[Document, ...]:
        """List the files to read."""
        specs.read(VcfMapping, mapping, where="mapping")
        return listing(paths, PATTERNS)

    def read_documents(
        self, documents: tuple[Document, ...], mapping: dict[str, Any]
    ) -> Iterator[Rows | Dropped]:
        """Read some of the files."""
        settings = specs.read(VcfMapping, mapping, where="mapping")
        for document in unpacked(documents, PATTERNS):
            try:
                yield from _genomes(document, settings)
            except BadFile as bad:
                yield Dropped(bad.reason, document.shown)


def _genomes(document: Document, settings: VcfMapping) -> Iterator[Rows | Dropped]:
    _refuse_cut(document)
    lines = _lines(document)
    header = header_of(lines, settings.assembly)
    samples = _Samples(header, document, settings)
    reader = Reader(header, settings.gene_keys, settings.filters, reference_calls=settings.reference_calls)
    for line in lines:
        reader.take(line)
        if reader.n_rows >= _ROWS:
            yield samples.rows(*reader.give())
    if reader.n_rows:
        yield samples.rows(*reader.give())
    yield from (Dropped(reason, document.shown, n) for reason, n in sorted(reader.dropped.items()))


def _lines(document: Document) -> Iterator[bytes]:
    rest = b""
    for block in document.blocks():
        lines = (rest + block).split(b"\n")
        rest = lines.pop()
        yield from (line.rstrip(b"\r") for line in lines if line.strip())
    if rest.strip():
        yield rest.rstrip(b"\r")


def _refuse_cut(document: Document) -> None:
    """Refuse a bgzipped file without the block that ends it: half a genome looks like a whole one."""
    if document.body is not None:
        head, end = document.body[:4], document.body[-len(_BGZF_END) :]
    else:
        with document.path.open("rb") as handle:
            head = handle.read(4)
            handle.seek(max(0, document.size - len(_BGZF_END)))
            end = handle.read()
    if head == _BGZF and end != _BGZF_END:
        raise InputError("the file is cut short: its last block is missing", where=document.where())


class _Samples:
    """Whose genomes a file holds, as columns of the variants table."""

    def __init__(self, header: Header, document: Document, settings: VcfMapping) -> None:
        self._site = settings.site_of(document)
        ids = [_patient(name, settings.pattern) for name in header.samples]
        self._subject = np.array([subject_id_of(one, self._site) for one in ids], np.int64)
        tail = ""
        if settings.genome == "file":
            tail = "-" + hashlib.sha256(document.name.encode()).hexdigest()[:12]
        self._source = pa.array([f"Genome/{one}{tail}" for one in ids], pa.string())
        reader = Clock(settings.time_zone)
        text = settings.time or None
        self._times = (moment(reader.first[text]), moment(reader.last[text]))

    def rows(self, sample: np.ndarray, columns: dict[str, pa.Array]) -> Rows:
        """Give rows of the variants table; `sample` says whose each is."""
        n = len(sample)
        time, available = (pa.repeat(pa.scalar(one, schema.MOMENT), n) for one in self._times)
        given = {
            "subject_id": pa.array(self._subject[sample]),
            "time": time,
            "available": available,
            "site": pa.repeat(pa.scalar(self._site, pa.string()), n),
            "source": self._source.take(pa.array(sample)),
            **columns,
        }
        arrays = [given.get(item.name, pa.nulls(n, item.type)) for item in schema.VARIANTS]
        return Rows("variants", pa.RecordBatch.from_arrays(arrays, schema=schema.VARIANTS))


def _patient(name: str, pattern: str) -> str:
    if not pattern:
        return name
    found = re.search(pattern, name)
    if found is None or not found[1]:
        raise BadFile("genome: a sample whose name does not tell a patient")
    return found[1]
