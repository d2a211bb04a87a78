"""In: a folder of identified tables. Out: a folder of the same tables without identities, and `risk.json`.

Each shard is changed on its own into a spool; pseudonyms scatter its patients over all ranges, so the new
shards are then picked out of all spools. Only what has no identities is ever spooled.
"""

from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from residency.contract import schema, specs
from residency.contract.lineage import Manifest, Rows, Step, open_made
from residency.contract.progress import Progress, silent
from residency.deid import attachments, metadata, risk, writing
from residency.deid.attacks import clues, gaps
from residency.deid.keys import fingerprint, read_key
from residency.deid.policy import Policy
from residency.deid.rare import local_codes, rare_codes
from residency.deid.register import withdrawn
from residency.deid.spool import Spool
from residency.deid.tables import Tables, hide_labels, hide_observation, transform
from residency.deid.work import CODES, LIMITS, Work, files_of


def deidentify(
    records: Path, out: Path, policy: Policy, *, now: datetime, progress: Progress = silent
) -> Manifest:
    """Take the identities out of event tables.

    Whoever withdrew (the register beside the key) is left out, as though they had not been in the records.

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
    settings = settings_of(policy, key)
    with Step(out, name="deidentify", inputs=[records], spec=settings, now=now) as step:
        if step.manifest is not None:
            return step.manifest
        described = metadata.dataset(records / schema.DATASET_FILE, policy, key)
        gone = withdrawn(policy.key_file, key)
        work = Work(records, files_of(records, manifest), policy, key, Spool(step.work / "spool"), gone)
        _spool_events(work, _rare(work, progress), progress)
        _spool_the_rest(work)
        attachments.spool(work, progress)
        _refuse_unfit(work)
        suppressed = writing.suppressed(work)
        writing.write_shards(step, work, suppressed, progress)
        writing.write_metadata(step, work, suppressed, described)
        return step.finish(rows=_rows(work, suppressed), result=_result(work, suppressed))


def settings_of(policy: Policy, key: bytes) -> dict[str, Any]:
    """Give a policy as a manifest tells it: the key by its fingerprint, officers where there are any."""
    settings = {**specs.plain(policy), "key_file": "", "key_fingerprint": fingerprint(key)}
    if not policy.risk.officers:
        del settings["risk"]["officers"]
    return settings


def _rare(work: Work, progress: Progress) -> frozenset[str]:
    """Give the codes that too few patients have."""
    files = work.files.get(schema.DATA, [])
    for place, path in enumerate(files):
        progress("counting codes", place, len(files))
        if not work.spool.has(CODES, place):
            found = local_codes(work.read(path, schema.DATA).select(["subject_id", "code"]), work.policy)
            work.spool.write(CODES, place, {CODES: found}, {"rows": 0, "dropped": {}, "changed": {}})
    return rare_codes(work.spool.tables(CODES, CODES), work.policy)


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
        tables = {"rows": events.sort("subject_id"), LIMITS: limits, writing.RISK: quasi}
        tables |= {writing.GAPS: gaps(events), writing.CLUES: clues(events)}
        counts = {"rows": len(events), "dropped": done.dropped, "changed": done.changed}
        work.spool.write(schema.DATA, place, tables, counts)
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


def _refuse_unfit(work: Work) -> None:
    """Stop where too many notes still held an identifier."""
    n = sum(pq.read_metadata(path).num_rows for path in work.files.get(schema.NOTES_FOLDER, []))
    n_left = sum(one["dropped"].get(writing.LEFT, 0) for one in work.spool.counts())
    work.policy.refuse_unfit("notes", n_left, n)


def _rows(work: Work, suppressed: writing.Suppressed) -> Rows:
    """Count events; what other tables lost is named as such."""
    counts = work.spool.counts()
    dropped: Counter[str] = Counter()
    for one in counts:
        dropped.update({reason: n for reason, n in one["dropped"].items() if n})
    for folder in attachments.left_out(work.policy):
        n = sum(pq.read_metadata(path).num_rows for path in work.files.get(folder, []))
        dropped.update({f"{folder}: left out by policy": n} if n else {})
    n = sum(one["rows"] for one in counts)
    if suppressed.n_events:
        dropped[writing.TOO_FEW] = suppressed.n_events
    kept = n - suppressed.n_events
    return Rows(read=n + dropped["code system not allowed"], kept=kept, dropped=dict(dropped))


def _result(work: Work, suppressed: writing.Suppressed) -> dict[str, object]:
    changed: Counter[str] = Counter()
    for one in work.spool.counts():
        changed.update(one["changed"])
    if suppressed.hidden:
        changed["patients whose ZIP3 was hidden"] = len(suppressed.hidden)
    if suppressed.lost:
        changed["patients left out, whom too few others are like"] = len(suppressed.lost)
    return {"patients": len(work.limits()) - len(suppressed.lost), **dict(sorted(changed.items()))}
