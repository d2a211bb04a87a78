"""In: diagnostic reports and imaging studies. Out: their events, notes, and whose studies and genomes are."""

from typing import Final

import numpy as np

from residency.contract import codes
from residency.records import clock, concepts
from residency.records.concepts import spelled
from residency.records.desk import Desk
from residency.records.draft import Piece, ints, references
from residency.records.fhir_identifiers import numbers
from residency.records.fhir_notes import EMPTY, Unread, add_note, checked, read_text
from residency.records.resources import DiagnosticReport, ImagingStudy
from residency.records.side_tables import moment

_GENETIC: Final = frozenset({"LOINC/51969-4", "LOINC/81247-9", "LOINC/51968-6", "LOINC/86206-0"})
_GENETICS: Final = frozenset({"GE", "LP7824-8", "genetics", "genomics"})
_UID: Final = "urn:dicom:uid"
_OID: Final = "urn:oid:"


def reports(rs: list[DiagnosticReport], desk: Desk) -> list[Piece]:
    """Reports when the examination was, available when issued; what they say is a note."""
    rs = desk.standing(rs, "DiagnosticReport")
    rs = desk.without(rs, "DiagnosticReport: no result yet", lambda r: r.status == "registered")
    period = [r.effectivePeriod for r in rs]
    when = [r.effectiveDateTime or (p.start if p else None) for r, p in zip(rs, period, strict=True)]
    over = [r.effectiveDateTime or (p.end or p.start if p else None) for r, p in zip(rs, period, strict=True)]
    time = desk.clock.firsts([w or r.issued for w, r in zip(when, rs, strict=True)])
    known = desk.clock.lasts([r.issued or o for o, r in zip(over, rs, strict=True)])
    code = ints([desk.code[bytes(r.code)] for r in rs])
    subject = desk.keys.subjects([r.subject for r in rs])
    visit = desk.keys.visits([r.encounter for r in rs])
    ok = np.flatnonzero(
        desk.admit(rs, "DiagnosticReport", subject=subject, time=time, code=code, known=known)
    )
    for i in ok.tolist():
        at = (int(time[i]), int(known[i]))
        for text in _texts(rs[i], desk):
            add_note(
                desk, text, source=f"DiagnosticReport/{rs[i].id}", subject=int(subject[i]),
                visit=int(visit[i]), kind=int(code[i]), times=at,
            )  # fmt: skip
        if _is_genetic(rs[i], desk.book.spelling(int(code[i]))):
            _link(desk, f"DiagnosticReport/{rs[i].id}", "", (int(subject[i]), int(visit[i])), at)
    return [
        Piece(
            subject=subject[ok], time=time[ok], available=known[ok], code=code[ok], visit=visit[ok],
            source=references("DiagnosticReport", [r.id for r in rs]).take(ok),
        )
    ]  # fmt: skip


def _texts(r: DiagnosticReport, desk: Desk) -> list[str]:
    """Give the report as text, and its conclusion where that stands by itself."""
    found: list[str] = []
    given = [read_text(r.presentedForm, desk.note_limit)] if r.presentedForm else []
    given += [checked(r.conclusion, desk.note_limit)] if r.conclusion is not None else []
    for text in given:
        if isinstance(text, Unread):
            desk.lost[text.reason] += text is not EMPTY or len(given) == 1
        elif not any(text.strip() in other for other in found):
            found.append(text)
    return found


def _is_genetic(r: DiagnosticReport, code: str) -> bool:
    return code in _GENETIC or any(one.code in _GENETICS for c in r.category for one in c.coding)


def _link(desk: Desk, source: str, key: str, whose: tuple[int, int], times: tuple[int, int]) -> None:
    """Take note of whose a study is (by its UID), or a genome (without key)."""
    (subject, visit), (time, known) = whose, times
    row = {
        "kind": "study" if key else "genome",
        "key": key,
        "subject_id": subject,
        "time": moment(time),
        "available": moment(known if known == clock.NONE else max(time, known)),
        "visit_id": None if visit < 0 else visit,
        "source": source,
    }
    desk.side.add("links", row)


def studies(rs: list[ImagingStudy], desk: Desk) -> list[Piece]:
    """Imaging studies by their modality, and whose study it is."""
    rs = desk.standing(rs, "ImagingStudy")
    time = desk.clock.firsts([r.started for r in rs])
    known = desk.clock.lasts([r.started for r in rs])
    code = ints([_study_code(r, desk) for r in rs])
    subject = desk.keys.subjects([r.subject for r in rs])
    visit = desk.keys.visits([r.encounter for r in rs])
    numbers(subject, [(one.value for one in r.identifier if one.system != _UID) for r in rs], desk)
    for i in np.flatnonzero(subject >= 0).tolist():
        times = (clock.NONE, clock.NONE) if time[i] == clock.BAD else (int(time[i]), int(known[i]))
        for uid in _uids(rs[i]):
            _link(desk, f"ImagingStudy/{rs[i].id}", uid, (int(subject[i]), int(visit[i])), times)
    ok = np.flatnonzero(desk.admit(rs, "ImagingStudy", subject=subject, time=time, code=code, known=known))
    return [
        Piece(
            subject=subject[ok], time=time[ok], available=known[ok], code=code[ok], visit=visit[ok],
            source=references("ImagingStudy", [r.id for r in rs]).take(ok),
        )
    ]  # fmt: skip


def _study_code(r: ImagingStudy, desk: Desk) -> int:
    """Give the modality's code; where there is none, the procedure's."""
    modalities = [*r.modality, *(one.modality for one in r.series if one.modality is not None)]
    for coding in modalities:
        if coding.code:
            code = spelled(coding) if coding.system else codes.join("DICOM", coding.code)
            return desk.book.number(code or codes.join("DICOM", coding.code), coding.display)
    return next((desk.book.concept(one) for one in r.procedureCode), concepts.NONE)


def _uids(r: ImagingStudy) -> list[str]:
    values = [one.value for one in r.identifier if one.value and (one.system == _UID or _OID in one.value)]
    return [value.removeprefix(_OID) for value in values]
