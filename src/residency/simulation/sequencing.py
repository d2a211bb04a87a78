"""In: persons and their genomes. Out: who was sequenced and when, and VCF files of many samples, bgzipped."""

import struct
import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Int8

from residency.simulation.chances import SEQUENCED, stream
from residency.simulation.charting import Chart
from residency.simulation.genome import places
from residency.simulation.selection import sequenced
from residency.simulation.spec import HospitalSpec

_LENGTHS: Final = {
    "chr1": 248956422, "chr4": 190214555, "chr5": 181538259, "chr6": 170805979, "chr7": 159345973,
    "chr8": 145138636, "chr9": 138394717, "chr10": 133797422, "chr11": 135086622, "chr12": 133275309,
    "chr13": 114364328, "chr15": 101991189, "chr16": 90338345, "chr19": 58617616, "chr22": 50818468,
}  # fmt: skip
_NO_CALL: Final = 0.004
_BLOCK: Final = 65_280
_BGZF_END: Final = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


@dataclass(frozen=True)
class Sample:
    """One sequenced genome.

    Attributes:
        id: of the Patient resource.
        contact: at which the blood was drawn.
        count: copies of the alternate alleles, by variant.
        depth: reads at each variant; 0 where there is no call.
    """

    id: str
    contact: int
    count: Int8[np.ndarray, " variant"]
    depth: Int8[np.ndarray, " variant"]


def sample(chart: Chart, spec: HospitalSpec) -> Sample | None:
    """Draw when a person is sequenced, if at all."""
    rng = stream(spec.seed, chart.desk.person.number, SEQUENCED)
    u = rng.random(2)[1]  # the first one says whether
    if not sequenced(chart.desk.person, spec.seed):
        return None
    count = chart.desk.person.count
    depth = np.clip(rng.poisson(34, len(count)), 8, 120) * (rng.random(len(count)) >= _NO_CALL)
    contact = int(u * len(chart.desk.contacts.day))
    return Sample(chart.who.id, contact, count, depth.astype(np.int8))


def vcf(samples: list[Sample]) -> bytes:
    """Write a VCF of some samples, sorted by place.

    Returns:
        The text, bgzipped.
    """
    order = sorted(
        range(len(places())), key=lambda i: (_rank(places()[i].chromosome), places()[i].variant.position)
    )
    lines = [*_head(), "\t".join([*_COLUMNS, *(["FORMAT"] if samples else []), *(one.id for one in samples)])]
    for i in order:
        lines.append("\t".join([*_row(i), *(_genotype(one, i) for one in samples)][: None if samples else 8]))
    return bgzip(("\n".join(lines) + "\n").encode())


_COLUMNS: Final = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO")


def _rank(chromosome: str) -> int:
    return int(chromosome.removeprefix("chr"))


def _head() -> list[str]:
    contigs = sorted({place.chromosome for place in places()}, key=_rank)
    return [
        "##fileformat=VCFv4.2",
        "##source=simulated",
        "##reference=GRCh38",
        *(f"##contig=<ID={name},length={_LENGTHS[name]},assembly=GRCh38>" for name in contigs),
        '##FILTER=<ID=PASS,Description="All filters passed">',
        '##INFO=<ID=GENE,Number=1,Type=String,Description="Gene">',
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">',
        '##FORMAT=<ID=DP,Number=1,Type=Integer,Description="Reads">',
    ]


def _row(i: int) -> list[str]:
    place = places()[i]
    one = place.variant
    where = [place.chromosome, f"{one.position}", one.rs, one.reference, one.alternate]
    return [*where, "100", "PASS", f"GENE={place.gene}", "GT:DP"]


def _genotype(one: Sample, i: int) -> str:
    if not one.depth[i]:
        return "./.:0"
    return f"{('0/0', '0/1', '1/1')[one.count[i]]}:{one.depth[i]}"


def bgzip(text: bytes) -> bytes:
    r"""Press text into BGZF: gzip members of at most 64 KiB that say their size (SAM specification, 4.1).

    Example:
        >>> import gzip
        >>> gzip.decompress(bgzip(b"a line\\n" * 100_000)) == b"a line\\n" * 100_000
        True
    """
    found = []
    for first in range(0, len(text), _BLOCK):
        part = text[first : first + _BLOCK]
        pressed = zlib.compressobj(6, zlib.DEFLATED, -15)
        body = pressed.compress(part) + pressed.flush()
        head = struct.pack("<4BI2BH2B2H", 31, 139, 8, 4, 0, 0, 255, 6, 66, 67, 2, len(body) + 25)
        found.append(head + body + struct.pack("<2I", zlib.crc32(part), len(part)))
    return b"".join(found) + _BGZF_END
