"""In: all spooled chunks. Out: what holds for them together; or why the input is refused."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from residency.contract.errors import IdentityError, InputError
from residency.records.draft import Ints
from residency.records.links import Links, links
from residency.records.runs import Chunks, Run
from residency.records.settings import Settings
from residency.records.shards import Range, Writing, ranges, writing
from residency.records.spool import Counts
from residency.records.units import APART, Reading, Signal, readings

POINTER: Final = "@"
UNDESCRIBED: Final = "refers to a drug that no file describes"
STRANGERS: Final = {
    "slices": "image: of a patient whom no other record knows",
    "variants": "genome: of a patient whom no other record knows",
}
_TABLES: Final = ("events", "observation", "notes", "slices", "variants", "identifiers")


@dataclass(frozen=True)
class Gathering:
    """What all chunks say together.

    Attributes:
        events, observation, notes, slices, variants, identifiers: their runs.
        labels: runs by task.
        known: every patient of the folder, ascending.
        links: whose studies and genomes are.
        ranges: patients of each shard.
        writing: how spooled numbers become names and values.
        described: rows of the codes table that the source gave.
        readings: how each signal is written down.
        seen: how often each signal comes.
        site_names: of each chunk.
        counts: rows read, kept, dropped.
    """

    events: tuple[Run, ...]
    observation: tuple[Run, ...]
    notes: tuple[Run, ...]
    slices: tuple[Run, ...]
    variants: tuple[Run, ...]
    identifiers: tuple[Run, ...]
    labels: dict[str, tuple[Run, ...]]
    known: Ints
    links: Links
    ranges: list[Range]
    writing: Writing
    described: pa.Table | None
    readings: dict[Signal, Reading]
    seen: dict[Signal, int]
    site_names: list[list[str]]
    counts: Counts

    @property
    def attached(self) -> tuple[Run, ...]:
        """Runs of notes, images and variants."""
        return (*self.notes, *self.slices, *self.variants)

    def result(self) -> dict[str, Any]:
        """Small facts for the manifest."""
        converted = sum(n for signal, n in self.seen.items() if self.readings[signal].changes)
        apart = sum(n for signal, n in self.seen.items() if APART in self.readings[signal].code)
        return {"values_converted": converted, "values_of_other_unit_kept_apart": apart}


@dataclass(frozen=True)
class SpooledFeed:
    """One feed's chunks, and the share of its rows that may hold what cannot be."""

    chunks: Chunks
    max_bad_share: float


def gather(feeds: Sequence[SpooledFeed], settings: Settings) -> Gathering:
    """Look at all chunks together.

    Args:
        feeds: chunks in their order.
        settings: that hold for all feeds.

    Raises:
        InputError: a patient is described twice, too many rows hold what cannot be, or there is nothing.
        IdentityError: two sites share an ingest id.
    """
    for feed in feeds:
        _refuse_bad(feed.chunks.counts(), feed.max_bad_share)
    chunks = Chunks(tuple(folder for feed in feeds for folder in feed.chunks.folders))
    counts = chunks.counts()
    _refuse_twice(chunks.table("subjects"))
    described = chunks.table("codes")
    pairs = _signals(chunks, _targets(described))
    seen: Counter[Signal] = Counter()
    for chunk in pairs:
        for signal, n in chunk:
            if signal is None:
                counts = left_out(counts, UNDESCRIBED, n)
            else:
                seen[signal] += n
    decided = readings(seen, settings.units)
    runs = {name: chunks.runs(name) for name in _TABLES}
    labels = {task: chunks.runs(f"labels~{task}") for task in chunks.tasks()}
    others = [*runs["observation"], *runs["notes"], *(run for found in labels.values() for run in found)]
    brought = (*runs["slices"], *runs["variants"])
    if not (runs["events"] or runs["notes"] or brought):
        raise InputError("nothing to keep in the input", mend=counts.told())
    known = _subjects((*runs["events"], *others)) if runs["events"] or others else _subjects(brought)
    for name, reason in STRANGERS.items():
        counts = left_out(counts, reason, sum(_n_strangers(run, known) for run in runs[name]))
    return Gathering(
        **runs,
        labels=labels,
        known=known,
        links=links(chunks.each("links")),
        ranges=ranges(runs["events"], [*others, *brought]),
        writing=writing([[None if s is None else decided[s] for s, _ in c] for c in pairs], chunks.sites()),
        described=described,
        readings=decided,
        seen=dict(seen),
        site_names=chunks.sites(),
        counts=counts,
    )


def _subjects(runs: Sequence[Run]) -> Ints:
    return np.unique(np.concatenate([run.subject for run in runs]))


def _n_strangers(run: Run, known: Ints) -> int:
    """Count rows of patients whom no other record knows."""
    return int(np.diff(run.offset)[~np.isin(run.subject, known)].sum())


def _refuse_bad(counts: Counts, most: float) -> None:
    if counts.bad > most * counts.read:
        raise InputError(
            f"{counts.bad} of {counts.read} rows hold what cannot be; at most {most:.2%} may",
            where=f"the first: {counts.first_bad}",
            mend="mend the file, or raise max_bad_share in the mapping",
        )


def _refuse_twice(declared: pa.Table | None) -> None:
    """Refuse a patient who is described twice in a site."""
    if declared is None:
        return
    subject = declared.column("subject_id").to_numpy()
    order = np.argsort(subject, kind="stable")
    again = np.flatnonzero(np.diff(subject[order]) == 0)
    if not len(again):
        return
    first, second = int(order[again[0]]), int(order[again[0] + 1])
    one, other = (declared.slice(row, 1).to_pylist()[0] for row in (first, second))
    if one["site"] != other["site"]:
        raise IdentityError(
            "patients of two sites share an ingest id", where=f"{one['where']}; {other['where']}"
        )
    raise InputError(
        f"a patient is described twice ({len(again)} such in all)", where=f"{one['where']}; {other['where']}"
    )


def _targets(described: pa.Table | None) -> dict[str, str]:
    """Say what pointers to drugs mean."""
    if described is None:
        return {}
    rows = zip(
        described.column("code").to_pylist(), described.column("parent_codes").to_pylist(), strict=True
    )
    return {code: parents[0] for code, parents in rows if code.startswith(POINTER) and parents}


def _signals(chunks: Chunks, targets: dict[str, str]) -> list[list[tuple[Signal | None, int]]]:
    """Give each chunk's signals, with pointers replaced; None for one that points nowhere."""

    def resolved(code: str, unit: str | None) -> Signal | None:
        if not code.startswith(POINTER):
            return Signal(code, unit)
        return Signal(targets[code], unit) if code in targets else None

    return [
        [(resolved(row["code"], row["unit"]), row["n"]) for row in table.to_pylist()]
        for table in chunks.each("pairs")
    ]


def left_out(counts: Counts, reason: str, n: int) -> Counts:
    """Count rows out that were kept at first."""
    if not n:
        return counts
    dropped = dict(counts.dropped)
    dropped[reason] = dropped.get(reason, 0) + n
    return msgspec.structs.replace(counts, kept=counts.kept - n, dropped=dropped)
