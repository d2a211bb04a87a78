"""In: a folder of DICOM files. Out: a folder of those without identities, and what stayed behind, by reason.

What lies in a file's name or path never comes out: a file is named by its content, in a folder named by its
study's pseudonym.
"""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

import polars as pl

from residency.contract import schema
from residency.contract.errors import InputError
from residency.contract.identifiers import subject_id_of
from residency.contract.lineage import Manifest, Rows, Step
from residency.contract.progress import Progress, silent
from residency.deid.batch import settings_of
from residency.deid.dicom import UNFIT, Hidden, Refused, hide_file
from residency.deid.keys import read_key
from residency.deid.policy import Policy

_FILES = "dicom"


def export_dicom(  # noqa: PLR0913 - what, where, by which rules
    files: Path,
    out: Path,
    policy: Policy,
    *,
    site: str,
    now: datetime,
    records: Path | None = None,
    progress: Progress = silent,
) -> Manifest:
    """Write DICOM files without identities, under the pseudonyms and offsets of the tables.

    Args:
        files: a file, or a folder of them; what is no DICOM is counted and left.
        out: the folder to write.
        policy: what may stay, and where the key lies.
        site: whose numbers `PatientID` holds.
        now: the run's start, aware.
        records: what `ingest` made: where a `PatientID` is one of a patient's numbers there, it is that
            patient. Else the number itself is taken for the source's id.
        progress: is told of each file.

    Raises:
        InputError: there are no files, or more stay behind than the policy lets.
        IdentityError: the key is missing, wrong or misplaced.
        LineageError: `out` holds something else.
    """
    key = read_key(policy, (files, out))
    paths = sorted(path for path in files.rglob("*") if path.is_file()) if files.is_dir() else [files]
    if not paths:
        raise InputError("no files", where=str(files))
    hide = partial(hide_file, policy=policy, key=key, patient_of=partial(_patient, _numbers(records), site))
    settings = {**settings_of(policy, key), "site": site}
    inputs = [files, *([records] if records is not None else [])]
    with Step(out, name="export-dicom", inputs=inputs, spec=settings, now=now) as step:
        if step.manifest is not None:
            return step.manifest
        dropped: Counter[str] = Counter()
        n_covered = 0
        for n, path in enumerate(paths):
            progress("taking identities out of files", n, len(paths))
            try:
                n_covered += _export(step, f"{n:08d}", path, hide)
            except Refused as refused:
                dropped[refused.reason] += 1
        policy.refuse_unfit("files", sum(dropped[reason] for reason in UNFIT), len(paths))
        rows = Rows(read=len(paths), kept=len(paths) - sum(dropped.values()), dropped=dict(dropped))
        return step.finish(rows=rows, result={"places covered in images": n_covered})


def _export(step: Step, name: str, path: Path, hide: Callable[[bytes], Hidden]) -> int:
    found = hide(path.read_bytes())
    folder = f"{_FILES}/{found.study.rpartition('.')[2]}"
    step.shard(name, folder, suffix=".dcm", make=lambda place: place.write_bytes(found.body) and 1)
    return found.n_covered


def _numbers(records: Path | None) -> dict[str, int]:
    """Give whose a number is, where it is one patient's alone."""
    if records is None or not (records / schema.IDENTIFIERS_FILE).exists():
        return {}
    known = pl.read_parquet(records / schema.IDENTIFIERS_FILE).filter(pl.col("kind") == "number")
    whose = known.group_by("value").agg(pl.col("subject_id").unique())
    alone = whose.filter(pl.col("subject_id").list.len() == 1)
    return dict(alone.select("value", pl.col("subject_id").list.first()).iter_rows())


def _patient(numbers: dict[str, int], site: str, number: str) -> int:
    return numbers.get(number, subject_id_of(number, site))
