"""In: allergies, coverage, consent, family history. Out: events whose codes say that they are about a thing.

An allergy to penicillin is no dose of penicillin, and a mother's cancer is not the patient's: the code of
either stands under a system of its own, and never has the other as its parent.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from residency.records import clock, concepts
from residency.records.concepts import first_code
from residency.records.desk import Desk
from residency.records.draft import Ints, Piece, ints, references
from residency.records.fhir_events import REFUTED
from residency.records.fhir_identifiers import numbers
from residency.records.resources import AllergyIntolerance, Consent, Coverage, FamilyMemberHistory

Times = tuple[Sequence[str | None], Sequence[str | None]]
"""When something was, and when it was known, as written."""
_NOT_IN_FORCE: Final = frozenset({"rejected", "proposed", "inactive"})


def allergies(rs: list[AllergyIntolerance], desk: Desk) -> list[Piece]:
    """Allergies as `ALLERGY/…`, from their onset, available when recorded."""
    rs = desk.without(
        rs,
        "AllergyIntolerance: refuted or entered in error",
        lambda r: first_code(bytes(r.verificationStatus)) in REFUTED,
    )
    code = ints([desk.book.about("ALLERGY", desk.code[bytes(r.code)]) for r in rs])
    return _events(
        rs, "AllergyIntolerance", desk, code=code,
        subject=desk.keys.subjects([r.patient for r in rs]),
        times=(
            [r.onsetDateTime or r.recordedDate for r in rs],
            [r.recordedDate or r.onsetDateTime for r in rs],
        ),
        visit=desk.keys.visits([r.encounter for r in rs]),
    )  # fmt: skip


def coverages(rs: list[Coverage], desk: Desk) -> list[Piece]:
    """Who pays, from when on, as `COVERAGE/…`; the subscriber's number is the patient's."""
    rs = desk.standing(rs, "Coverage")
    start = [r.period.start if r.period else None for r in rs]
    subject = desk.keys.subjects([r.beneficiary for r in rs])
    numbers(subject, [(r.subscriberId,) for r in rs], desk)
    kinds = [first_code(bytes(r.type)) or "UNK" for r in rs]
    code = _named("COVERAGE", kinds, desk)
    return _events(rs, "Coverage", desk, code=code, subject=subject, times=(start, start))


def consents(rs: list[Consent], desk: Desk) -> list[Piece]:
    """What a patient agreed to, as `CONSENT/<scope>:<permit or deny>`."""
    rs = desk.standing(rs, "Consent")
    rs = desk.without(rs, "Consent: not in force", lambda r: r.status in _NOT_IN_FORCE)
    said = [r.provision.type or "" if r.provision else "" for r in rs]
    scope = [first_code(bytes(r.scope)) for r in rs]
    names = [f"{of}:{what}" if of and what else what for of, what in zip(scope, said, strict=True)]
    times = [r.dateTime for r in rs]
    subject = desk.keys.subjects([r.patient for r in rs])
    return _events(
        rs, "Consent", desk, code=_named("CONSENT", names, desk), subject=subject, times=(times, times)
    )


def families(rs: list[FamilyMemberHistory], desk: Desk) -> list[Piece]:
    """Conditions of relatives as `FAMILY/…`; who of them had it is the text."""
    rs = desk.standing(rs, "FamilyMemberHistory")
    found = [[desk.code[bytes(one.code)] for one in r.condition] for r in rs]
    keep = [i for i, numbers in enumerate(found) if any(number >= 0 for number in numbers)]
    if len(keep) < len(rs):
        desk.dropped["FamilyMemberHistory: no code"] += len(rs) - len(keep)
    rs, found = [rs[i] for i in keep], [found[i] for i in keep]
    row = [i for i, numbers in enumerate(found) for number in numbers if number >= 0]
    code = ints([desk.book.about("FAMILY", number) for numbers in found for number in numbers if number >= 0])
    dates = [r.date for r in rs]
    subject = desk.keys.subjects([r.patient for r in rs])
    who = [concepts.words(bytes(r.relationship)) for r in rs]
    nothing = np.zeros(len(rs), np.int64)
    ok, at, known = _admitted(
        rs, "FamilyMemberHistory", desk, code=nothing, subject=subject, times=(dates, dates)
    )
    of = ints(row)
    which = np.flatnonzero(np.isin(of, ok))
    of = of[which]
    return [
        Piece(
            subject=subject[of], time=at[of], available=known[of], code=code[which],
            source=references("FamilyMemberHistory", [r.id for r in rs]).take(of),
            text=[who[i] for i in of.tolist()],
        )
    ]  # fmt: skip


def _named(system: str, names: Sequence[str], desk: Desk) -> Ints:
    return ints([desk.book.number(f"{system}/{name}") if name else concepts.NONE for name in names])


def _events(  # noqa: PLR0913 - one column each
    rs: list[Any],
    kind: str,
    desk: Desk,
    *,
    code: Ints,
    subject: Ints,
    times: Times,
    visit: Ints | None = None,
) -> list[Piece]:
    """Resources that are one event each."""
    ok, at, known = _admitted(rs, kind, desk, code=code, subject=subject, times=times)
    return [
        Piece(
            subject=subject[ok], time=at[ok], available=known[ok], code=code[ok],
            visit=None if visit is None else visit[ok],
            source=references(kind, [r.id for r in rs]).take(ok),
        )
    ]  # fmt: skip


def _admitted(
    rs: list[Any], kind: str, desk: Desk, *, code: Ints, subject: Ints, times: Times
) -> tuple[Ints, Ints, Ints]:
    """Give the rows that are good, and the times of all; one without a time is a static fact."""
    at, known = desk.clock.firsts(list(times[0])), desk.clock.lasts(list(times[1]))
    placed = np.where(at == clock.NONE, 0, at)
    ok = np.flatnonzero(desk.admit(rs, kind, subject=subject, time=placed, code=code, known=known))
    return ok, at, known
