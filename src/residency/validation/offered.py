"""In: a table of anybody's scores. Out: its rows typed, and what cannot be examined named and counted.

Columns go by the names that vendors give them (`COLUMNS`), in any case; several models may be columns
`score_NAME`, or rows with a column `model`. What is recorded of a patient beside (sex, age, race, language,
insurance, `group_…`) makes groups. A score that is empty is an abstention: counted, not refused. An outcome
that is empty is not known: left out and counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from residency.contract.errors import InputError, SchemaError

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "subject_id": ("subject_id", "patient_id", "patient", "person_id", "id"),
    "prediction_time": ("prediction_time", "time", "timestamp", "datetime", "date", "predicted_at"),
    "score": ("score", "probability", "risk", "prediction", "predicted", "p"),
    "label": ("label", "outcome", "event", "observed", "target", "y"),
    "event_time": ("event_time", "outcome_time", "event_date", "outcome_date"),
    "site": ("site", "hospital", "clinic"),
    "weight": ("weight",),
    "task": ("task",),
    "model": ("model", "vendor"),
    "split": ("split",),
}
GROUPS: Final[Mapping[str, str]] = {
    "sex": "sex",
    "gender": "sex",
    "race": "race",
    "ethnicity": "ethnicity",
    "language": "language",
    "insurance": "insurance",
}
WIDE: Final = "score_"
_LINE: Final = "__line"
AGE_BANDS: Final = (45.0, 65.0, 80.0)
YES: Final = ("1", "1.0", "true", "yes", "t", "y")
NO: Final = ("0", "0.0", "false", "no", "f", "n")
EMPTY: Final = ("", "na", "nan", "null", "none", "n/a")
MOST_GROUPS: Final = 12  # values of a group; a column with more is no group
_DAYS: Final = ("%Y-%m-%d", "%Y/%m/%d")
_CLOCKS: Final = ("", "T%H:%M:%S%.f", " %H:%M:%S%.f", "T%H:%M", " %H:%M")
_ZONED: Final = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z")


@dataclass(frozen=True)
class Offered:
    """Rows of one file that can be examined.

    Attributes:
        rows: `subject_id`, `prediction_time`, `event_time`, `label`, `score` (NaN: abstained), `weight`,
            `site`, `split`, `task` and `model` (empty where the file names none), and `group_…`.
        counts: rows left out, and abstentions, with the reason.
        has_patients: without, each row counts as a patient of its own.
        has_times: without, alerts per day cannot be told.
        n_read: rows of the file.
    """

    rows: pl.DataFrame
    counts: Mapping[str, int]
    has_patients: bool
    has_times: bool
    n_read: int


def read_offered(path: Path, *, leave_out: bool = False, needs_label: bool = True) -> Offered:
    """Read a file of scores.

    Args:
        path: CSV, or Parquet where the name ends so.
        leave_out: leave rows out that cannot be examined, and count them, rather than refuse the file.
        needs_label: False where outcomes come from elsewhere.

    Raises:
        SchemaError: a column that is needed is missing, or named twice.
        InputError: the file cannot be read; or rows cannot be examined: every reason, with its count and the
            first line.
    """
    raw = _long(_texts(path).with_row_index(_LINE, 2))
    names = _named(raw.columns, path, needs_label=needs_label)
    typed = _typed(raw, names)
    faults = _faults(typed, names)
    bad = (
        typed.select(pl.any_horizontal(faults.values())).to_series()
        if len(typed)
        else pl.Series([], dtype=pl.Boolean)
    )
    counts = _counted(typed, faults)
    if bad.any() and not leave_out:
        raise InputError(_said(typed, faults, int(bad.sum())), where=str(path), mend=_mend(typed))
    kept = typed.filter(~bad)
    unknown = kept["label"].is_null() if needs_label else pl.repeat(False, len(kept), eager=True)
    if unknown.any():
        counts["outcome not known"] = int(unknown.sum())
    kept = kept.filter(~unknown)
    if not len(kept):
        raise InputError("no row can be examined", where=str(path))
    return Offered(
        rows=kept.drop("line", "score_text", "label_text", "time_text", "event_text"),
        counts={**counts, "abstained": int(kept["score"].is_nan().sum())},
        has_patients="subject_id" in names,
        has_times="prediction_time" in names,
        n_read=len(raw),
    )


def _long(raw: pl.DataFrame) -> pl.DataFrame:
    """Put several models' columns (`score_NAME`) below each other."""
    wide = [name for name in raw.columns if name.strip().lower().startswith(WIDE)]
    if not wide or any(name.strip().lower() in COLUMNS["score"] for name in raw.columns):
        return raw
    parts = [
        raw.drop(wide).with_columns(score=raw[name], model=pl.lit(name.strip().lower().removeprefix(WIDE)))
        for name in wide
    ]
    return pl.concat(parts)


def _texts(path: Path) -> pl.DataFrame:
    """Read every column as text, so that nothing is guessed."""
    try:
        if path.suffix == ".parquet":
            table = pl.read_parquet(path)
            moments = [name for name, kind in table.schema.items() if kind in (pl.Datetime, pl.Date)]
            table = table.with_columns(pl.col(moments).cast(pl.Datetime("us")).dt.to_string("iso"))
            return table.with_columns(pl.all().cast(pl.String))
        return pl.read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError):
        raise InputError("cannot read the predictions as Parquet or CSV", where=str(path)) from None


def _named(columns: list[str], path: Path, *, needs_label: bool) -> dict[str, str]:
    """Find which column of the file is which of ours."""
    held: dict[str, list[str]] = {}
    for column in columns:
        plain = column.strip().lower().replace(" ", "_")
        for ours, theirs in COLUMNS.items():
            if plain in theirs:
                held.setdefault(ours, []).append(column)
    twice = {ours: [c for c in found if c.lower() == ours] or found for ours, found in held.items()}
    unclear = [ours for ours, found in twice.items() if len(found) > 1]
    if unclear:
        raise SchemaError(f"more than one column could be {', '.join(unclear)}", where=str(path))
    missing = [
        name for name in (("score", "label") if needs_label else ("subject_id", "score")) if name not in held
    ]
    if missing:
        said = "; ".join(f"{name} may be called {', '.join(COLUMNS[name])}" for name in missing)
        raise SchemaError(f"missing columns: {', '.join(missing)}", where=str(path), mend=said)
    return {ours: found[0] for ours, found in twice.items()}


def _text(names: Mapping[str, str], ours: str) -> pl.Expr:
    """Give a column as trimmed text; null where it is empty or not there."""
    if ours not in names:
        return pl.lit(None, dtype=pl.String)
    text = pl.col(names[ours]).str.strip_chars()
    return pl.when(~text.str.to_lowercase().is_in(EMPTY)).then(text)


def _moment(text: pl.Expr) -> pl.Expr:
    plain = [day + clock for day in _DAYS for clock in _CLOCKS]
    read = [text.str.to_datetime(form, time_unit="us", strict=False) for form in plain]
    zoned = [
        text.str.to_datetime(form, time_unit="us", strict=False)
        .dt.convert_time_zone("UTC")
        .dt.replace_time_zone(None)
        for form in _ZONED
    ]
    return pl.coalesce(*read, *zoned)


def _typed(raw: pl.DataFrame, names: Mapping[str, str]) -> pl.DataFrame:
    label, weight = (
        _text(names, "label").str.to_lowercase(),
        _text(names, "weight").cast(pl.Float64, strict=False),
    )
    score = _text(names, "score").cast(pl.Float64, strict=False)
    return raw.select(
        line=_LINE,
        subject_id=_text(names, "subject_id") if "subject_id" in names else pl.col(_LINE).cast(pl.String),
        prediction_time=_moment(_text(names, "prediction_time")),
        event_time=_moment(_text(names, "event_time")),
        label=pl.when(label.is_in(YES)).then(True).when(label.is_in(NO)).then(False),
        score=score.fill_null(float("nan")),
        weight=weight if "weight" in names else pl.lit(1.0),
        site=_text(names, "site").fill_null("unstated") if "site" in names else pl.lit("here"),
        split=_text(names, "split") if "split" in names else pl.lit("held_out"),
        task=_text(names, "task").fill_null(""),
        model=_text(names, "model").fill_null(""),
        score_text=_text(names, "score"),
        label_text=_text(names, "label"),
        time_text=_text(names, "prediction_time"),
        event_text=_text(names, "event_time"),
        **_groups(raw),
    )


def _groups(raw: pl.DataFrame) -> dict[str, pl.Expr]:
    """Take what is recorded of patients; ages become bands."""
    found = {}
    for column in raw.columns:
        plain = column.strip().lower().replace(" ", "_")
        name = plain.removeprefix("group_") if plain.startswith("group_") else GROUPS.get(plain, "")
        if name and raw[column].n_unique() <= MOST_GROUPS:
            value = pl.col(column).str.strip_chars().str.to_lowercase().str.replace_all(r"\s+", "_")
            found[f"group_{name}"] = pl.when(~value.is_in(EMPTY)).then(value).otherwise(pl.lit("unstated"))
        elif plain in ("age", "age_years"):
            age = pl.col(column).str.strip_chars().cast(pl.Float64, strict=False)
            low, middle, high = AGE_BANDS
            found["group_age"] = (
                pl.when(age.is_null() | age.is_nan()).then(pl.lit("unstated"))
                .when(age < low).then(pl.lit(f"under_{low:g}"))
                .when(age < middle).then(pl.lit(f"{low:g}-{middle - 1:g}"))
                .when(age < high).then(pl.lit(f"{middle:g}-{high - 1:g}"))
                .otherwise(pl.lit(f"{high:g}_and_over"))
            )  # fmt: skip
    return found


def _faults(typed: pl.DataFrame, names: Mapping[str, str]) -> dict[str, pl.Expr]:
    """Give, for each reason, which rows cannot be examined."""
    same = ["subject_id", "task", "model", *(["prediction_time"] if "prediction_time" in names else [])]
    number = pl.col("score").is_finite()
    faults = {
        "score is no number": pl.col("score_text").is_not_null() & ~number,
        "score outside 0 to 1": number & ~pl.col("score").is_between(0, 1),
        "outcome neither 0 nor 1": pl.col("label_text").is_not_null() & pl.col("label").is_null(),
        "weight below 0 or no number": pl.col("weight").is_null() | ~(pl.col("weight") >= 0),
        "no patient": pl.col("subject_id").is_null(),
        "time cannot be read": pl.col("time_text").is_not_null() & pl.col("prediction_time").is_null(),
        "event time cannot be read": pl.col("event_text").is_not_null() & pl.col("event_time").is_null(),
        "prediction after the outcome": pl.col("label").fill_null(False)
        & (pl.col("prediction_time") > pl.col("event_time")),
    }
    if "prediction_time" in names:
        faults["no time"] = pl.col("time_text").is_null()
    if "subject_id" in names:
        again = "same patient and time twice" if "prediction_time" in names else "same patient twice"
        faults[again] = pl.struct(same).is_duplicated()
    return {reason: fault.fill_null(False) for reason, fault in faults.items()}


def _counted(typed: pl.DataFrame, faults: Mapping[str, pl.Expr]) -> dict[str, int]:
    counts = typed.select(**{reason: fault.sum() for reason, fault in faults.items()}).row(0, named=True)
    return {reason: int(n) for reason, n in counts.items() if n}


def _said(typed: pl.DataFrame, faults: Mapping[str, pl.Expr], n_bad: int) -> str:
    first = typed.select(
        **{reason: pl.col("line").filter(fault).first() for reason, fault in faults.items()}
    ).row(0, named=True)
    each = [
        f"{reason}: {n:,} (first in line {first[reason]})" for reason, n in _counted(typed, faults).items()
    ]
    return f"{n_bad:,} of {len(typed):,} rows cannot be examined\n  " + "\n  ".join(each)


def _mend(typed: pl.DataFrame) -> str:
    known = typed["score"].filter(typed["score"].is_finite())
    if len(known) and known.min() >= 0 and 1 < known.max() <= 100 and float((known > 1).mean()) > 0.5:  # type: ignore[operator, arg-type]
        return "the scores look like percentages: divide them by 100"
    return "correct the file; or let such rows be left out and counted (--leave-out)"
