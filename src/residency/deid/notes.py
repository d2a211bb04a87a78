"""In: rows of notes, who their patients are, a policy. Out: the same notes without identities."""

import hmac
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property, partial
from typing import Final, NamedTuple

import polars as pl

from residency.contract.processes import Mapping
from residency.deid.classifiers import classifier_of
from residency.deid.day_forms import Clock
from residency.deid.documents import HiddenRows, hide_common, known_rows
from residency.deid.known import Known, known_of
from residency.deid.leaks import Everyone, everyone, others_left, own_left
from residency.deid.policy import Policy
from residency.deid.scrubber import Scrubbed, Search, find_spans, replace
from residency.deid.surrogates import Surrogates

PART: Final = 500  # notes that are done at once
_READ: Final = ("subject_id", "shift", "birth_shift", "time", "text")


def hide_notes(
    table: pl.DataFrame,
    people: pl.DataFrame,
    identifiers: pl.DataFrame,
    policy: Policy,
    key: bytes,
    *,
    over: Mapping = map,
) -> HiddenRows:
    """Apply a policy to notes; one in which other code still finds an identifier stays behind.

    A data set and a request go through this very function.

    Args:
        table: `contract.schema.NOTES`.
        people: see `people.PEOPLE`.
        identifiers: `contract.schema.IDENTIFIERS` of these patients; may be empty.
        policy: what may stay.
        key: the secret.
        over: does one part after another, or several at once (`contract.processes.spread`).
    """
    known, left_out = known_rows(table, people)
    allowed = known
    if policy.notes.kinds:
        allowed = known.filter(pl.col("kind").is_in(list(policy.notes.kinds)).fill_null(value=False))
    hide = partial(_hidden_texts, Scrubbing(who_of(identifiers), policy, key))
    parts = allowed.select(_READ).iter_slices(PART)
    hidden = [one for part in over(hide, parts) for one in part]
    fine = pl.Series([not one.left for one in hidden], dtype=pl.Boolean)
    texts = pl.Series([one.text for one in hidden], dtype=table.schema["text"])
    kept = hide_common(allowed, policy, key).with_columns(text=texts).filter(fine)
    found: Counter[str] = Counter()
    for one in hidden:
        found.update(one.found)
    reasons = {f"notes: {reason}": n for reason, n in left_out.items()} | {
        "notes: kind not allowed": len(known) - len(allowed),
        "notes: a known identifier was left": len(allowed) - len(kept),
    }
    return HiddenRows(
        table=kept.select(table.columns),
        rows=allowed["row"].filter(fine),
        dropped=reasons,
        changed={f"{kind.lower()} replaced in notes": n for kind, n in sorted(found.items())},
    )


@dataclass(frozen=True)
class Scrubbing:
    """What notes are scrubbed with: who the patients are, a policy, the secret."""

    who: dict[int, Known]
    policy: Policy
    key: bytes = field(repr=False)

    @cached_property
    def everyone(self) -> Everyone:
        """What is known of all patients."""
        return everyone(self.who)

    @cached_property
    def search(self) -> Search:
        """What is looked for besides what is known of a patient."""
        rules = self.policy.notes
        return Search(self.policy.max_age, rules.years, rules.organisations, classifier_of(rules.classifier))

    def surrogates(self, subject: int, shift: int, birth_shift: int) -> Surrogates:
        """Give what stands in the place of one patient's identifiers; shifts are in microseconds."""
        return Surrogates(
            hmac.digest(self.key, b"notes" + subject.to_bytes(8, "big"), "sha256"),
            self.who.get(subject, Known()),
            self.policy.notes,
            timedelta(microseconds=shift),
            timedelta(microseconds=birth_shift),
        )

    def left(self, subject: int, rest: str) -> bool:
        """Tell whether what stands as it was still holds an identifier of a patient."""
        return own_left(rest, self.who.get(subject, Known())) or others_left(rest, self.everyone)


class _Hidden(NamedTuple):
    """A note as it may pass; how many spans of each kind were replaced; whether an identifier is left."""

    text: str | None
    found: Counter[str]
    left: bool


def _hidden_texts(scrubbing: Scrubbing, rows: pl.DataFrame) -> list[_Hidden]:
    """Take the identities out of some notes; a patient's surrogates hang on the key, not on the part."""
    surrogates: dict[int, Surrogates] = {}
    done: list[_Hidden] = []
    for subject, shift, birth_shift, time, text in rows.iter_rows():
        if text is None:
            done.append(_Hidden(None, Counter(), left=False))
            continue
        if subject not in surrogates:
            surrogates[subject] = scrubbing.surrogates(subject, shift, birth_shift)
        clock = Clock(time.date() if time is not None else None)
        one = scrub(text, surrogates[subject], scrubbing.search, clock)
        done.append(_Hidden(one.text, one.found, scrubbing.left(subject, one.rest)))
    return done


def who_of(identifiers: pl.DataFrame) -> dict[int, Known]:
    """Make ready who each patient is."""
    rows = identifiers.group_by("subject_id", maintain_order=True).agg("kind", "value").iter_rows()
    return {subject: known_of(zip(kinds, values, strict=True)) for subject, kinds, values in rows}


def scrub(text: str, surrogates: Surrogates, search: Search, clock: Clock) -> Scrubbed:
    """Take the identities out of one note."""
    return replace(text, find_spans(text, surrogates.known, clock, search), surrogates)
