"""In: a folder of FHIR, or invented patients. Out: resources a second from gzip to Parquet, on one core.

Beside it stands the machine's limit: gunzip and JSON decoding of the same files and nothing else.
"""

import argparse
import gzip
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

os.environ |= {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}

import pyarrow as pa
from isal import igzip

from residency import simulation
from residency.records import Feed, ingest
from residency.records.fhir import FhirSource
from residency.records.fhir_files import batches

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _lines(folder: Path, opened: Callable[..., object], decode: Callable[[bytes], object]) -> int:
    """Decode every line, and count them."""
    n = 0
    for path in sorted(folder.rglob("*.ndjson.gz")):
        with opened(path, "rb") as handle:  # type: ignore[attr-defined]
            for line in handle:
                decode(line)
                n += 1
    return n


def _timed(what: str, work: Callable[[], int]) -> None:
    """Print a rate by wall clock and by processor time, which a busy machine does not stretch."""
    wall, cpu = time.perf_counter(), time.process_time()
    n = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{what:38} {n:>9,} resources  {n / wall:>9,.0f}/s  {n / cpu:>9,.0f}/s of processor time")


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "folder", nargs="?", type=Path, help="FHIR as NDJSON, gzipped; invented where not given"
    )
    parser.add_argument("--patients", type=int, default=1000)
    asked = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    pa.set_cpu_count(1)
    with tempfile.TemporaryDirectory() as work:
        folder = asked.folder
        if folder is None:
            spec = simulation.HospitalSpec(n_patients=asked.patients, seed=0)
            simulation.simulate(Path(work) / "hospital", spec, now=NOW)
            folder = Path(work) / "hospital/fhir"
        mapping = Path(work) / "mapping.toml"
        mapping.write_text('site_from = "folder"\n')
        _timed("gzip and json, decoding alone", lambda: _lines(folder, gzip.open, json.loads))
        try:
            import orjson
        except ModuleNotFoundError:
            print("orjson is not installed")
        else:
            _timed("isal and orjson, decoding alone", lambda: _lines(folder, igzip.open, orjson.loads))
        documents = FhirSource().documents((folder,), {})
        typed = lambda: sum(len(batch.resources) for batch in batches(iter(documents), lambda _: ""))  # noqa: E731
        _timed("isal and msgspec, needed fields only", typed)
        for turn in ("ingest, first in the process", "ingest, again"):
            out = Path(work) / "out"
            _timed(turn, lambda: ingest(out, [Feed("fhir", [folder], mapping)], now=NOW).rows.read)  # noqa: B023
            shutil.rmtree(out)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
