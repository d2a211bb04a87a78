"""In: rows of notes, who their patients are, a policy. Out: the same notes without identities."""

import hmac
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import polars as pl

from residency.deid.classifiers import classifier_of
from residency.deid.day_forms import Clock
from residency.deid.documents import HiddenRows, hide_common, known_rows
from residency.deid.known import Known, known_of
from residency.deid.leaks import everyone, others_left, own_left
from residency.deid.policy import Policy
from residency.deid.scrubber import Scrubbed, Search, find_spans, replace
from residency.deid.surrogates import Surrogates


def hide_notes(
    table: pl.DataFrame, people: pl.DataFrame, identifiers: pl.DataFrame, policy: Policy, key: bytes
) -> HiddenRows:
    """Apply a policy to notes; one in which other code still finds an identifier stays behind.

    A data set and a request go through this very function.

    Args:
        table: `contract.schema.NOTES`.
        people: see `people.PEOPLE`.
        identifiers: `contract.schema.IDENTIFIERS` of these patients; may be empty.
        policy: what may stay.
        key: the secret.
    """
    known, left_out = known_rows(table, people)
    allowed = known
    if policy.notes.kinds:
        allowed = known.filter(pl.col("kind").is_in(list(policy.notes.kinds)).fill_null(value=False))
    who = who_of(identifiers)
    scrubbed = list(_scrubbed(allowed, who, policy, key))
    fine = pl.Series(
        [not leak for leak in _leaks(allowed["subject_id"].to_list(), scrubbed, who)], dtype=pl.Boolean
    )
    texts = pl.Series([one.text if one is not None else None for one in scrubbed], dtype=table.schema["text"])
    hidden = hide_common(allowed, policy, key).with_columns(text=texts).filter(fine)
    found: Counter[str] = Counter()
    for one in scrubbed:
        found.update(one.found if one is not None else {})
    reasons = {f"notes: {reason}": n for reason, n in left_out.items()} | {
        "notes: kind not allowed": len(known) - len(allowed),
        "notes: a known identifier was left": len(allowed) - len(hidden),
    }
    return HiddenRows(
        table=hidden.select(table.columns),
        rows=allowed["row"].filter(fine),
        dropped=reasons,
        changed={f"{kind.lower()} replaced in notes": n for kind, n in sorted(found.items())},
    )


def _leaks(subjects: list[int], scrubbed: list[Scrubbed | None], who: dict[int, Known]) -> Iterator[bool]:
    """Tell of each note whether what stands as it was still holds an identifier of a patient."""
    others = everyone(who)
    for subject, one in zip(subjects, scrubbed, strict=True):
        rest = one.rest if one is not None else ""
        yield own_left(rest, who.get(subject, Known())) or others_left(rest, others)


def who_of(identifiers: pl.DataFrame) -> dict[int, Known]:
    """Make ready who each patient is."""
    rows = identifiers.group_by("subject_id", maintain_order=True).agg("kind", "value").iter_rows()
    return {subject: known_of(zip(kinds, values, strict=True)) for subject, kinds, values in rows}


def _scrubbed(
    rows: pl.DataFrame, who: dict[int, Known], policy: Policy, key: bytes
) -> Iterator[Scrubbed | None]:
    rules = policy.notes
    search = Search(policy.max_age, rules.years, rules.organisations, classifier_of(rules.classifier))
    surrogates: dict[int, Surrogates] = {}
    columns = ("subject_id", "shift", "birth_shift", "time", "text")
    for subject, shift, birth_shift, time, text in rows.select(columns).iter_rows():
        if subject not in surrogates:
            surrogates[subject] = Surrogates(
                hmac.digest(key, b"notes" + subject.to_bytes(8, "big"), "sha256"),
                who.get(subject, Known()),
                policy.notes,
                timedelta(microseconds=shift),
                timedelta(microseconds=birth_shift),
            )
        clock = Clock(time.date() if time is not None else None)
        yield None if text is None else scrub(text, surrogates[subject], search, clock)


def scrub(text: str, surrogates: Surrogates, search: Search, clock: Clock) -> Scrubbed:
    """Take the identities out of one note."""
    return replace(text, find_spans(text, surrogates.known, clock, search), surrogates)
