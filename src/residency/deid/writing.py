"""In: spooled tables without identities. Out: shards and metadata of the result, and the risk left."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl
import pyarrow.parquet as pq

from residency.contract import schema
from residency.contract.codes import BIRTH
from residency.contract.identifiers import pseudonym_of
from residency.contract.lineage import Step
from residency.contract.progress import Progress
from residency.deid import attachments, metadata, risk
from residency.deid.attacks import outside_list
from residency.deid.leaks import Everyone, everyone
from residency.deid.notes import who_of
from residency.deid.people import refuse_collisions
from residency.deid.policy import Policy
from residency.deid.rare import rare_codes
from residency.deid.scanning import SHORTEST, scan
from residency.deid.spool import Range, ranges, rows_between
from residency.deid.tables import arrow
from residency.deid.work import CODES, Work, schema_of

RISK: Final = "risk"
GAPS: Final = "gaps"
CLUES: Final = "clues"
LEFT: Final = "notes: a known identifier was left"
TOO_FEW: Final = "too few patients are like theirs"
_ROWS: Final = "rows"
_ORDER: Final = {
    schema.DATA: list(schema.EVENT_ORDER),
    schema.OBSERVATION_FOLDER: ["subject_id", "start", "end"],
    schema.LABELS_FOLDER: ["subject_id", "prediction_time"],
}
_DOCUMENT_ORDER: Final = ["subject_id", "available", "time", "source"]


@dataclass(frozen=True)
class Suppressed:
    """What a policy takes away so that nobody stands alone.

    Attributes:
        hidden: patients, by pseudonym, whose ZIP3 becomes 000.
        lost: patients who are left out.
        n_events: events that go with them.
    """

    hidden: frozenset[int] = frozenset()
    lost: frozenset[int] = frozenset()
    n_events: int = 0


def suppressed(work: Work) -> Suppressed:
    """Say what the policy's bound takes away; nothing where it only measures."""
    tables = work.spool.tables(schema.DATA, RISK)
    if not work.policy.risk.suppress or not tables:
        return Suppressed()
    hidden, lost = risk.small_cells(pl.concat(tables), work.policy.risk.smallest_cell)
    events = pl.scan_parquet(work.spool.files(schema.DATA, _ROWS)).filter(_is_of(lost))
    return Suppressed(hidden, lost, int(events.select(pl.len()).collect().item()))


def _is_of(patients: frozenset[int]) -> pl.Expr:
    return pl.col("subject_id").is_in(pl.Series(sorted(patients), dtype=pl.Int64).implode())


def write_shards(step: Step, work: Work, taken: Suppressed, progress: Progress) -> None:
    """Write every table, a range of patients at a time, and the pixel store."""
    parts = ranges(work.spool.files(schema.DATA, _ROWS))
    for done, part in enumerate(parts):
        progress("writing", done, len(parts))
        for folder in work.files:
            files = [] if folder == schema.PIXELS_FOLDER else work.spool.files(folder, _ROWS)
            if files and _rows(files, part, taken).select(pl.len()).collect().item():
                make = partial(_write, _rows(files, part, taken), folder, taken, work.policy)
                step.shard(part.key, folder, suffix=".parquet", make=make)
    attachments.write_pixels(step, work, taken.lost)
    progress("writing", len(parts), len(parts))


def _rows(files: list[Path], part: Range, taken: Suppressed) -> pl.LazyFrame:
    rows = rows_between(files, part)
    return rows.filter(~_is_of(taken.lost)) if taken.lost else rows


def _write(found: pl.LazyFrame, folder: str, taken: Suppressed, policy: Policy, path: Path) -> int:
    rows = found.collect()
    if folder == schema.DATA and taken.hidden:
        rows = _without_places(rows, taken.hidden, policy)
    first = _ORDER.get(folder.split("/")[0], _DOCUMENT_ORDER)
    rest = [name for name, kind in rows.schema.items() if name not in first and not kind.is_nested()]
    table = arrow(rows.sort([*first, *rest], nulls_last=False), schema_of(folder))
    pq.write_table(table, path, compression="zstd")
    return len(rows)


def _without_places(rows: pl.DataFrame, hidden: frozenset[int], policy: Policy) -> pl.DataFrame:
    """Put 000 in the place of ZIP3, in a text or behind a code's equals sign."""
    code, whose = pl.col("code"), _is_of(hidden)
    coded = pl.any_horizontal(
        pl.lit(value=False), *(code.str.starts_with(f"{one}=") for one in policy.zip_codes)
    )
    told = code.is_in(list(policy.zip_codes)) & pl.col("text_value").is_not_null()
    return rows.with_columns(
        code=pl.when(whose & coded).then(code.str.replace("=.*$", "=000")).otherwise(code),
        text_value=pl.when(whose & told).then(pl.lit("000")).otherwise("text_value"),
    )


def write_metadata(step: Step, work: Work, taken: Suppressed, described: dict[str, Any]) -> None:
    """Write subjects, codes, the description, and the risk that is left."""
    rare = rare_codes(work.spool.tables(CODES, CODES), work.policy)
    subjects = pl.DataFrame(pl.from_arrow(work.left(pq.read_table(work.records / schema.SUBJECTS_FILE))))
    pseudonyms = np.array([pseudonym_of(work.key, int(one)) for one in subjects["subject_id"]], np.int64)
    refuse_collisions(pseudonyms)
    hidden = metadata.subjects(subjects, pseudonyms, work.policy, work.key).filter(~_is_of(taken.lost))
    described_codes = pl.read_parquet(work.records / schema.CODES_FILE)
    codes = metadata.codes(described_codes, work.policy, rare, _everyone(work.records))
    for path, table, kind in (
        (schema.SUBJECTS_FILE, hidden, schema.SUBJECTS),
        (schema.CODES_FILE, codes, schema.CODES),
    ):
        step.file(path, make=partial(_write_table, arrow(table, kind)))
    step.file(schema.DATASET_FILE, make=partial(_write_json, described))
    step.file(schema.SHOWN_FILE, make=attachments.shown(work).write)
    found = _risk(step, work, taken)
    step.file(risk.RISK_FILE, make=partial(_write_json, found))
    step.file(risk.RISK_PAGE, make=lambda path: path.write_text(risk.page(found), "utf-8") and 0)


def _risk(step: Step, work: Work, taken: Suppressed) -> dict[str, Any]:
    """Measure and attack the result; look through it for what is known of anybody."""
    before = pl.concat(work.spool.tables(schema.DATA, RISK))
    patients = risk.hide_places(before.filter(~_is_of(taken.lost)), taken.hidden)
    seen, told = (
        pl.concat(work.spool.tables(schema.DATA, name)).filter(~_is_of(taken.lost)) for name in (GAPS, CLUES)
    )
    bounds = (work.policy.shift_weeks, work.policy.era_blur_days)
    attacks = risk.attacked(patients, seen, told, bounds)
    reach = -(-work.policy.shift_weeks // 52)
    attacks |= {"outside_list": outside_list(_people(work), patients, reach)}
    n_left = sum(one["dropped"].get(LEFT, 0) for one in work.spool.counts())
    known = _known(work.records)
    scanned = scan(step.out, known, _everyone(work.records)).report()
    return risk.measured(patients) | {
        "suppression": risk.suppression(before, work.policy.risk),
        "attacks": attacks,
        "leak_scan": {
            "identifiers_looked_for": len(known),
            **scanned,
            "notes_left_out_for_a_known_identifier": n_left,
        },
    }


def _people(work: Work) -> pl.DataFrame:
    """Give everybody's true sex, birth year and ZIP3, under their pseudonyms: what an outsider may know."""
    told = (pl.col("code") == BIRTH) | pl.col("code").str.starts_with("DEMOGRAPHIC/")
    columns = ["subject_id", "time", "code", "text_value"]
    files = work.files.get(schema.DATA, [])
    people = [
        risk.quasi_identifiers(pl.scan_parquet(path).select(columns).filter(told).collect()) for path in files
    ]
    everybody = pl.concat(people)
    pseudonym = [pseudonym_of(work.key, int(one)) for one in everybody["subject_id"]]
    return everybody.with_columns(subject_id=pl.Series(pseudonym, dtype=pl.Int64))


def _known(records: Path) -> frozenset[str]:
    """Give every known identifier, small letters."""
    path = records / schema.IDENTIFIERS_FILE
    if not path.exists():
        return frozenset()
    values = pl.read_parquet(path, columns=["value"])["value"]
    return frozenset(values.filter(values.str.len_chars() >= SHORTEST).str.to_lowercase())


def _everyone(records: Path) -> Everyone | None:
    """Give what is known of all patients, where it is known."""
    path = records / schema.IDENTIFIERS_FILE
    return everyone(who_of(pl.read_parquet(path))) if path.exists() else None


def _write_table(table: Any, path: Path) -> int:
    pq.write_table(table, path, compression="zstd")
    return int(table.num_rows)


def _write_json(body: object, path: Path) -> int:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(body), indent=1))
    return 0
