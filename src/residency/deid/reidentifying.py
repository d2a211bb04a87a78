"""In: pseudonyms, identified records, a key, a reason. Out: who they are, once the register says who asked.

The one way back. It takes the key and the identified records together: neither alone tells anything.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import polars as pl

from residency.contract import schema
from residency.contract.errors import NotFoundError, SpecError
from residency.contract.identifiers import pseudonym_of
from residency.contract.lineage import open_made
from residency.deid import register
from residency.deid.keys import read_key
from residency.deid.policy import Policy

_OF_PERSON = "Patient/"


@dataclass(frozen=True)
class Person:
    """Somebody behind a pseudonym.

    Attributes:
        pseudonym: in de-identified tables.
        ingest_id: in identified tables.
        site: where they are known.
        references: what the source calls them there (`Patient/…`), where its events say.
    """

    pseudonym: int
    ingest_id: int = field(repr=False)
    site: str
    references: tuple[str, ...] = field(repr=False)


def reidentify(
    records: Path, pseudonyms: Iterable[int], policy: Policy, *, by: str, reason: str, now: datetime
) -> tuple[Person, ...]:
    """Say who is behind pseudonyms, for a need that the register keeps.

    The register beside the key gets its line first: what cannot be put on record is not told.

    Args:
        records: what `ingest` made.
        pseudonyms: `subject_id` of de-identified tables.
        policy: names the key.
        by: who asks.
        reason: why, in words.
        now: the time, aware.

    Raises:
        SpecError: nobody, or no reason, is named.
        NotFoundError: no patient of the records has one of the pseudonyms under this key.
        IdentityError: the key is missing, wrong or misplaced.
    """
    if not (by.strip() and reason.strip()):
        raise SpecError("a re-identification names who asks, and why")
    key = read_key(policy, (records,))
    open_made(records, "ingest")
    wanted = frozenset(pseudonyms)
    people = pl.read_parquet(records / schema.SUBJECTS_FILE, columns=["subject_id", "site"])
    known = {pseudonym_of(key, one): (one, site) for one, site in people.iter_rows()}
    found = {one: known[one] for one in sorted(wanted) if one in known}
    line = register.Line(
        n=0,
        time=now,
        by=by,
        what="re-identification",
        marks=tuple(register.mark_of(key, ingest_id) for ingest_id, _ in found.values()),
        reason=reason,
        folders=(records.name,),
    )
    register.append(policy.key_file, key, line)
    if missing := len(wanted) - len(found):
        raise NotFoundError(
            f"{missing} of {len(wanted)} pseudonyms are nobody's in these records under this key",
            where=str(records),
        )
    references = _references(records, [ingest_id for ingest_id, _ in found.values()])
    return tuple(
        Person(one, ingest_id, site, references.get(ingest_id, ()))
        for one, (ingest_id, site) in found.items()
    )


def _references(records: Path, subjects: list[int]) -> dict[int, tuple[str, ...]]:
    """Give what the source calls each patient."""
    files = sorted((records / schema.DATA).glob("*.parquet"))
    if not files:
        return {}
    rows = (
        pl.scan_parquet(files)
        .filter(pl.col("subject_id").is_in(subjects) & pl.col("source").str.starts_with(_OF_PERSON))
        .group_by("subject_id")
        .agg(pl.col("source").unique().sort())
        .collect()
    )
    return {subject: tuple(found) for subject, found in rows.iter_rows()}
