"""In: identified tables in memory, a policy, a key. Out: the same tables without identities."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa
from jaxtyping import Int64

from residency.contract.schema import EVENTS, IDENTIFIERS, IMAGES, LABELS, NOTES, OBSERVATION, VARIANTS, check
from residency.deid.documents import HiddenRows
from residency.deid.events import hide_events
from residency.deid.images import hide_images
from residency.deid.notes import hide_notes
from residency.deid.people import people_of
from residency.deid.policy import Policy
from residency.deid.shown import Shown
from residency.deid.variants import hide_variants

Counts: TypeAlias = dict[str, int]
_MOMENT: Final = pl.Datetime("us")


@dataclass(frozen=True)
class Tables:
    """Tables of some patients, each patient whole.

    Attributes:
        events: `contract.schema.EVENTS`.
        observation: `contract.schema.OBSERVATION`.
        labels: `contract.schema.LABELS` of each task.
        notes: `contract.schema.NOTES`.
        images: `contract.schema.IMAGES`; their pixels go through `pixels.hide_pixels`.
        variants: `contract.schema.VARIANTS`.
    """

    events: pa.Table
    observation: pa.Table = field(default_factory=OBSERVATION.empty_table)
    labels: Mapping[str, pa.Table] = field(default_factory=dict)
    notes: pa.Table = field(default_factory=NOTES.empty_table)
    images: pa.Table = field(default_factory=IMAGES.empty_table)
    variants: pa.Table = field(default_factory=VARIANTS.empty_table)


@dataclass(frozen=True)
class Transformed:
    """Tables without identities, in the order of the rows that went in.

    Attributes:
        tables: the tables.
        rows: of each row of the new events, its row in the old ones.
        document_rows: the same of notes, images and variants.
        people: ingest id, pseudonym, shift (µs) of each patient: for the way back, never to be stored.
        dropped: rows left out, by reason.
        changed: values changed or removed, by what was done.
    """

    tables: Tables
    rows: Int64[np.ndarray, " event"]
    document_rows: tuple[np.ndarray, ...]
    people: pl.DataFrame
    dropped: Counts
    changed: Counts


def transform(
    tables: Tables,
    policy: Policy,
    key: bytes,
    rare: frozenset[str] = frozenset(),
    *,
    identifiers: pa.Table | None = None,
    shown: Shown | None = None,
) -> Transformed:
    """Take the identities out of tables in memory.

    A data set is de-identified by this very function, shard by shard. A request, with the release's policy
    and any key, gives a model the same view. Nothing is stored.

    Args:
        tables: with every event of each patient that the result is to be the same for.
        policy: what may stay.
        key: the secret.
        rare: codes to hide, since too few patients of the data set have them.
        identifiers: `contract.schema.IDENTIFIERS` of these patients, for their notes.
        shown: for a request: what the data set shows; other codes of a source's own, and other variants, are
            hidden as they were there. Without it all that the policy allows is shown.

    Raises:
        SchemaError: a table is not what its schema says.
        IdentityError: two identifiers would share a pseudonym.
    """
    events = pl.DataFrame(pl.from_arrow(check(tables.events, EVENTS, "events")))
    others = [check(tables.observation, OBSERVATION, "observation")]
    others += [check(table, LABELS, "labels") for table in tables.labels.values()]
    columns = [events["subject_id"].to_numpy(), *(table.column("subject_id").to_numpy() for table in others)]
    people = people_of(np.unique(np.concatenate(columns)), events, policy, key)
    if shown is not None:
        rare = rare | shown.rare_codes(tables.events, policy)
    hidden = hide_events(events, people, policy, key, rare)
    observation, n_unseen = hide_observation(_frame(tables.observation), people)
    labels = {task: hide_labels(_frame(table), people) for task, table in tables.labels.items()}
    n_labels = sum(n for _, n in labels.values())
    documents = _documents(tables, people, policy, key, (identifiers, shown))
    return Transformed(
        tables=Tables(
            arrow(hidden.events, EVENTS),
            arrow(observation, OBSERVATION),
            {task: arrow(table, LABELS) for task, (table, _) in labels.items()},
            *(arrow(hidden.table, schema) for schema, hidden in documents),
        ),
        rows=hidden.rows,
        document_rows=tuple(hidden.rows.to_numpy() for _, hidden in documents),
        people=people,
        dropped={
            **hidden.dropped,
            "observation: age too high": n_unseen,
            "labels: age too high": n_labels,
            **{reason: n for _, one in documents for reason, n in one.dropped.items()},
        },
        changed=hidden.changed | {what: n for _, one in documents for what, n in one.changed.items()},
    )


def _documents(
    tables: Tables,
    people: pl.DataFrame,
    policy: Policy,
    key: bytes,
    beside: tuple[pa.Table | None, Shown | None],
) -> list[tuple[pa.Schema, HiddenRows]]:
    """Take the identities out of notes, images and genomes; what a policy leaves out is empty."""
    identifiers, shown = beside
    known = _frame(
        check(identifiers, IDENTIFIERS, "identifiers")
        if identifiers is not None
        else IDENTIFIERS.empty_table()
    )
    notes, images, variants = (
        _frame(check(table if rules.handling == "scrub" else table.slice(0, 0), schema, name))
        for table, rules, schema, name in (
            (tables.notes, policy.notes, NOTES, "notes"),
            (tables.images, policy.images, IMAGES, "images"),
            (tables.variants, policy.variants, VARIANTS, "variants"),
        )
    )
    rare = shown.rare_variants(variants, policy) if shown is not None else None
    return [
        (NOTES, hide_notes(notes, people, known, policy, key)),
        (IMAGES, hide_images(images, people, policy, key)),
        (VARIANTS, hide_variants(variants, people, policy, key, rare)),
    ]


def hide_observation(table: pl.DataFrame, people: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Shift observation intervals; end them where a too high age would show.

    Returns:
        The intervals, and how many were left out whole.
    """
    rows = table.join(people, on="subject_id", how="left", maintain_order="left")
    start, end = (pl.col(name).cast(pl.Int64) + pl.col("shift") for name in ("start", "end"))
    kept = rows.filter(start < pl.col("limit")).select(
        subject_id="pseudonym",
        start=start.cast(_MOMENT),
        end=pl.min_horizontal(end, pl.col("limit") - 1).cast(_MOMENT),
        rule="rule",
    )
    return kept, len(rows) - len(kept)


def hide_labels(table: pl.DataFrame, people: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Shift labels; leave out those whose time would show a too high age.

    Returns:
        The labels, and how many were left out.
    """
    rows = table.join(people, on="subject_id", how="left", maintain_order="left")
    time = pl.col("prediction_time").cast(pl.Int64) + pl.col("shift")
    kept = rows.filter(time < pl.col("limit"))
    shifted = kept.with_columns(subject_id="pseudonym", prediction_time=time.cast(_MOMENT))
    return shifted.select(table.columns), len(rows) - len(kept)


def arrow(frame: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    """Give a frame as an Arrow table of one of our schemas."""
    return check(frame.select(schema.names).to_arrow().cast(schema), schema)


def _frame(table: pa.Table) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(table))
