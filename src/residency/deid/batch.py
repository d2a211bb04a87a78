"""In: a folder of identified tables. Out: a folder of the same tables without identities, and `risk.json`.

Each shard is changed on its own into a spool; pseudonyms scatter its patients over all ranges, so the new
shards are then picked out of all spools. Only what has no identities is ever spooled.
"""

from collections import Counter
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl
import pyarrow.parquet as pq

from residency.contract import schema, specs
from residency.contract.identifiers import pseudonym_of
from residency.contract.lineage import Manifest, Rows, Step, open_made
from residency.contract.progress import Progress, silent
from residency.deid import attachments, metadata, risk
from residency.deid.keys import fingerprint, read_key
from residency.deid.people import refuse_collisions
from residency.deid.policy import Policy
from residency.deid.rare import local_codes, rare_codes
from residency.deid.spool import Range, Spool, ranges, rows_between
from residency.deid.tables import Tables, arrow, hide_labels, hide_observation, transform
from residency.deid.work import LIMITS, Work, files_of, schema_of

_CODES: Final = "codes"
_ORDER: Final = {
    schema.DATA: list(schema.EVENT_ORDER),
    schema.OBSERVATION_FOLDER: ["subject_id", "start", "end"],
    schema.LABELS_FOLDER: ["subject_id", "prediction_time"],
    **dict.fromkeys(attachments.FOLDERS, ["subject_id", "available", "time", "source"]),
}


def deidentify(
    records: Path, out: Path, policy: Policy, *, now: datetime, progress: Progress = silent
) -> Manifest:
    """Take the identities out of event tables.

    Args:
        records: what `ingest` made.
        out: the folder to write.
        policy: what may stay, and where the key lies.
        now: the run's start, aware.
        progress: is told of each shard.

    Raises:
        IdentityError: the key is missing, wrong or misplaced, or identifiers collide.
        LineageError: `records` is not finished, or `out` holds something else.
    """
    key = read_key(policy, (records, out))
    manifest = open_made(records)
    settings = {**specs.plain(policy), "key_file": "", "key_fingerprint": fingerprint(key)}
    with Step(out, name="deidentify", inputs=[records], spec=settings, now=now) as step:
        if step.manifest is not None:
            return step.manifest
        described = metadata.dataset(records / schema.DATASET_FILE, policy, key)
        work = Work(records, files_of(records, manifest), policy, key, Spool(step.work / "spool"))
        _spool_events(work, _rare(work, progress), progress)
        _spool_the_rest(work)
        attachments.spool(work, progress)
        _write_shards(step, work, progress)
        _write_metadata(step, work, described)
        return step.finish(rows=_rows(work), result=_result(work))


def _rare(work: Work, progress: Progress) -> frozenset[str]:
    """Give the codes that too few patients have."""
    files = work.files.get(schema.DATA, [])
    for place, path in enumerate(files):
        progress("counting codes", place, len(files))
        if not work.spool.has(_CODES, place):
            found = local_codes(work.read(path, schema.DATA).select(["subject_id", "code"]), work.policy)
            work.spool.write(_CODES, place, {"codes": found}, {"rows": 0, "dropped": {}, "changed": {}})
    return rare_codes(work.spool.tables(_CODES, "codes"), work.policy)


def _spool_events(work: Work, rare: frozenset[str], progress: Progress) -> None:
    """Change each events shard: its patients are all there, so their ages are known."""
    files = work.files.get(schema.DATA, [])
    for place, path in enumerate(files):
        progress("taking identities out", place, len(files))
        if work.spool.has(schema.DATA, place):
            continue
        done = transform(Tables(work.read(path, schema.DATA)), work.policy, work.key, rare)
        events = pl.DataFrame(pl.from_arrow(done.tables.events))
        quasi = risk.quasi_identifiers(events)
        limits = done.people.select("pseudonym", "birth_shift", "limit")
        tables = {"rows": events.sort("subject_id"), LIMITS: limits, "risk": quasi}
        counts = {"rows": len(events), "dropped": done.dropped, "changed": done.changed}
        work.spool.write(
            schema.DATA,
            place,
            tables,
            counts,
        )
    progress("taking identities out", len(files), len(files))


def _spool_the_rest(work: Work) -> None:
    """Change labels and observation, with what is now known of every patient's age."""
    limits = work.limits()
    for folder, files in work.files.items():
        if folder.split("/")[0] in (schema.OBSERVATION_FOLDER, schema.LABELS_FOLDER):
            for place, path in enumerate(files):
                if not work.spool.has(folder, place):
                    _spool_beside(work, limits, folder, place, path)


def _spool_beside(work: Work, limits: pl.DataFrame, folder: str, place: int, path: Path) -> None:
    """Change one file of labels or observation; leave out whoever has no events."""
    table = pl.DataFrame(pl.from_arrow(work.read(path, folder)))
    people = work.people(table["subject_id"].unique().sort().to_numpy(), limits)
    known = table.join(people.select("subject_id"), on="subject_id", how="semi", maintain_order="left")
    hide = hide_observation if folder == schema.OBSERVATION_FOLDER else hide_labels
    kept, n_left_out = hide(known, people)
    kind = folder.split("/")[0]
    dropped = {
        f"{kind}: age too high": n_left_out,
        f"{kind}: patient without events": len(table) - len(known),
    }
    counts = {"rows": 0, "dropped": dropped, "changed": {}}
    work.spool.write(folder, place, {"rows": kept.sort("subject_id")}, counts)


def _write_shards(step: Step, work: Work, progress: Progress) -> None:
    parts = ranges(work.spool.files(schema.DATA, "rows"))
    for done, part in enumerate(parts):
        progress("writing", done, len(parts))
        for folder in work.files:
            if folder == schema.PIXELS_FOLDER:
                continue
            files = work.spool.files(folder, "rows")
            if files and rows_between(files, part).select(pl.len()).collect().item():
                step.shard(part.key, folder, suffix=".parquet", make=partial(_write, files, part, folder))
    attachments.write_pixels(step, work)
    progress("writing", len(parts), len(parts))


def _write(files: list[Path], part: Range, folder: str, path: Path) -> int:
    rows = rows_between(files, part).collect()
    first = _ORDER[folder.split("/")[0]]
    rest = [name for name, kind in rows.schema.items() if name not in first and not kind.is_nested()]
    table = arrow(rows.sort([*first, *rest], nulls_last=False), schema_of(folder))
    pq.write_table(table, path, compression="zstd")
    return len(rows)


def _write_metadata(step: Step, work: Work, described: dict[str, Any]) -> None:
    rare = rare_codes(work.spool.tables(_CODES, "codes"), work.policy)
    subjects = pl.read_parquet(work.records / schema.SUBJECTS_FILE)
    pseudonyms = np.array([pseudonym_of(work.key, int(one)) for one in subjects["subject_id"]], np.int64)
    refuse_collisions(pseudonyms)
    hidden = metadata.subjects(subjects, pseudonyms, work.policy, work.key)
    codes = metadata.codes(pl.read_parquet(work.records / schema.CODES_FILE), work.policy, rare)
    measured = risk.measured(pl.concat(work.spool.tables(schema.DATA, "risk")))
    step.file(
        schema.SUBJECTS_FILE,
        make=lambda path: pq.write_table(arrow(hidden, schema.SUBJECTS), path, compression="zstd"),
    )
    step.file(
        schema.CODES_FILE,
        make=lambda path: pq.write_table(arrow(codes, schema.CODES), path, compression="zstd"),
    )
    step.file(schema.DATASET_FILE, make=lambda path: _write_json(described, path))
    step.file(risk.RISK_FILE, make=lambda path: _write_json(measured, path))


def _write_json(body: object, path: Path) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(body), indent=1))


def _rows(work: Work) -> Rows:
    """Count events; what other tables lost is named as such."""
    counts = work.spool.counts()
    dropped: Counter[str] = Counter()
    for one in counts:
        dropped.update({reason: n for reason, n in one["dropped"].items() if n})
    for folder in attachments.left_out(work.policy):
        n = sum(pq.read_metadata(path).num_rows for path in work.files.get(folder, []))
        dropped.update({f"{folder}: left out by policy": n} if n else {})
    kept = sum(one["rows"] for one in counts)
    return Rows(read=kept + dropped["code system not allowed"], kept=kept, dropped=dict(dropped))


def _result(work: Work) -> dict[str, object]:
    changed: Counter[str] = Counter()
    for one in work.spool.counts():
        changed.update(one["changed"])
    return {"patients": len(work.limits()), **dict(sorted(changed.items()))}
