"""In: lines of a VCF file. Out: its samples and assembly, and the calls of variants, in columns.

Nothing that is wrong in a line stops the file: it is counted under a fixed reason (VCF 4.1 to 4.5).
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

FIXED: Final = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO")
_CHROMOSOME: Final = re.compile(r"(?:chromosome|chr)?([A-Za-z0-9_.*-]{1,64})", re.ASCII | re.IGNORECASE)
_BASES: Final = re.compile(r"[ACGTNacgtn]+", re.ASCII)
_ALTERNATE: Final = re.compile(
    r"[ACGTNacgtn]+|\*|\.|<[A-Za-z0-9:_*.-]+>|[ACGTNacgtn.]*[\[\]][^\s,]+[\[\]][ACGTNacgtn.]*", re.ASCII
)
_GENOTYPE: Final = re.compile(r"(?:\d{1,3}|\.)(?:[/|](?:\d{1,3}|\.))*", re.ASCII)
_GENE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,29}", re.ASCII)
_UNSEEN: Final = ("<*>", "<NON_REF>")
"""Alternates of gVCF that stand for anything not seen."""
_ASSEMBLIES: Final = {"GRCh38": ("grch38", "hg38"), "GRCh37": ("grch37", "hg19", "b37", "hs37")}
_REFERENCE, _NO_CALL, _VARIANT, _WRONG = range(4)

COLUMNS: Final = "genome: a line with too few or too many columns"
POSITION: Final = "genome: a chromosome or position that is none"
ALLELES: Final = "genome: alleles that are none"
NO_GENOTYPE: Final = "genome: a line without genotypes"
FILTERED: Final = "genome: a line that the caller's filters refuse"
CALLS: Final = {
    _REFERENCE: "genome: called as the reference",
    _NO_CALL: "genome: no call",
    _WRONG: "genome: a genotype that is none",
}


class BadFile(Exception):  # noqa: N818 - no error of ours: the run goes on
    """Why a file is left out: a fixed phrase."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Header:
    """What a file says before its lines.

    Attributes:
        samples: their names.
        assembly: GRCh38 or GRCh37; None where the file does not tell.
    """

    samples: tuple[str, ...]
    assembly: str | None


def header_of(lines: Iterator[bytes], assembly: str) -> Header:
    """Read a header, and leave the lines after it.

    Raises:
        BadFile: it has none, no samples, or two of one name.
    """
    known = _assembly_in(assembly)
    for line in lines:
        if line.startswith(b"##"):
            if known is None and line.startswith((b"##reference", b"##contig", b"##assembly")):
                known = _assembly_in(line.decode("utf-8", "replace"))
            continue
        names = line.decode("utf-8", "replace").split("\t")
        if tuple(names[:8]) != FIXED:
            break
        samples = tuple(names[9:])
        if not samples or names[8] != "FORMAT":
            raise BadFile("genome: a file without samples")
        if len(set(samples)) < len(samples) or not all(samples):
            raise BadFile("genome: two samples of one name in a file")
        return Header(samples, known or (assembly or None))
    raise BadFile("genome: a file without the header of a VCF")


def _assembly_in(text: str) -> str | None:
    lower = text.lower()
    return next((name for name, words in _ASSEMBLIES.items() if any(word in lower for word in words)), None)


@dataclass(frozen=True)
class Line:
    """A line's variant."""

    chromosome: str
    position: int
    reference: str
    alternate: str
    n_alternates: int
    gene: str | None
    name: str | None


class Reader:
    """Collects calls of a file's lines, until they are given as columns.

    Attributes:
        dropped: lines and calls left out, by reason.
        n_rows: calls collected.
    """

    def __init__(
        self, header: Header, gene_keys: tuple[str, ...], filters: tuple[str, ...], *, reference_calls: bool
    ) -> None:
        self._header, self._gene_keys = header, gene_keys
        self._filters = frozenset(one.encode() for one in filters)
        self._kept = {_REFERENCE, _VARIANT} if reference_calls else {_VARIANT}
        self._seen: dict[tuple[bytes, int], int] = {}
        self.dropped: Counter[str] = Counter()
        self._clear()

    def _clear(self) -> None:
        self.n_rows = 0
        self._lines: list[Line] = []
        self._counts: list[int] = []
        self._sample: list[int] = []
        self._genotype: list[bytes] = []

    def take(self, raw: bytes) -> None:
        """Take a line; what is wrong with it is counted."""
        cells = raw.split(b"\t")
        if len(cells) != 9 + len(self._header.samples):
            self.dropped[COLUMNS] += 1
        elif cells[6] not in self._filters and not set(cells[6].split(b";")) <= self._filters:
            self.dropped[FILTERED] += 1
        elif cells[8].split(b":", 1)[0] != b"GT":
            self.dropped[NO_GENOTYPE] += 1
        else:
            line = self._line(cells)
            if isinstance(line, str):
                self.dropped[line] += 1
            else:
                self._calls(line, cells)

    def _line(self, cells: list[bytes]) -> Line | str:
        """Read the first columns, or say what is wrong with them."""
        try:
            chromosome, position, name, reference, alternate, _, _, info = (
                one.decode("ascii") for one in cells[:8]
            )
        except UnicodeDecodeError:
            return ALLELES
        place = _CHROMOSOME.fullmatch(chromosome)
        if place is None or not position.isdecimal() or len(position) > 10:
            return POSITION
        alternates = alternate.split(",")
        if not _BASES.fullmatch(reference) or not all(map(_ALTERNATE.fullmatch, alternates)):
            return ALLELES
        while alternates and alternates[-1] in _UNSEEN:
            alternates.pop()
        named = "MT" if place[1] == "M" else place[1]
        return Line(
            named, int(position), reference, ",".join(alternates), len(alternates), self._gene(info),
            _name(name),
        )  # fmt: skip

    def _gene(self, info: str) -> str | None:
        found = dict(part.split("=", 1) for part in info.split(";") if "=" in part)
        for key in self._gene_keys:
            value = found.get(key)
            if value is None:
                continue
            parts = value.split(",")[0].split("|")
            gene = (parts[3] if len(parts) > 3 else parts[0]).split(":")[0]
            if _GENE.fullmatch(gene):
                return gene
        return None

    def _calls(self, line: Line, cells: list[bytes]) -> None:
        before = len(self._sample)
        for sample, cell in enumerate(cells[9:]):
            genotype = cell.split(b":", 1)[0]
            key = (genotype, line.n_alternates)
            kind = self._seen.get(key)
            if kind is None:
                kind = self._seen[key] = _kind(genotype, line.n_alternates)
            if kind in self._kept:
                self._sample.append(sample)
                self._genotype.append(genotype)
            else:
                self.dropped[CALLS[kind]] += 1
        if len(self._sample) > before:
            self._lines.append(line)
            self._counts.append(len(self._sample) - before)
            self.n_rows = len(self._sample)

    def give(self) -> tuple[np.ndarray, dict[str, pa.Array]]:
        """Give the calls collected (whose each is, and the columns of the variants table), and begin anew."""
        at = pa.array(np.repeat(np.arange(len(self._lines)), self._counts))
        lines = self._lines

        def column(values: list[str | None], kind: pa.DataType) -> pa.Array:
            return pa.array(values, kind).take(at)

        columns = {
            "assembly": column([self._header.assembly] * len(lines), pa.string()),
            "chromosome": column([one.chromosome for one in lines], pa.string()),
            "position": pa.array([one.position for one in lines], pa.int64()).take(at),
            "reference": column([one.reference for one in lines], pa.string()),
            "alternate": column([one.alternate for one in lines], pa.string()),
            "genotype": pa.array([one.decode() for one in self._genotype], pa.string()),
            "gene": column([one.gene for one in lines], pa.string()),
            "name": column([one.name for one in lines], pa.string()),
        }
        sample = np.array(self._sample, np.int64)
        self._clear()
        return sample, columns


def _name(cell: str) -> str | None:
    """Give the rs number, else the first name."""
    names = [one for one in cell.split(";") if one and one != "."]
    return next((one for one in names if one.startswith("rs")), names[0] if names else None)


def _kind(genotype: bytes, n_alternates: int) -> int:
    text = genotype.decode("ascii", "replace")
    if not _GENOTYPE.fullmatch(text):
        return _WRONG
    alleles = re.split(r"[/|]", text)
    called = [int(one) for one in alleles if one != "."]
    if not called:
        return _NO_CALL
    if max(called) > n_alternates:
        return _WRONG
    return _VARIANT if any(called) else _REFERENCE
