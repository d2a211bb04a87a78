"""In: document references and reports. Out: their text as notes; no text, none at all, too much is counted.

A note without text says nothing, and one of a megabyte is a dump of something else: both would reach people
and models as if somebody had written them.
"""

import binascii
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from residency.records import clock
from residency.records.desk import Desk
from residency.records.draft import ints
from residency.records.resource_parts import Attachment
from residency.records.resources import DocumentReference
from residency.records.side_tables import moment

AUTHENTICATED: Final = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-authentication-time"
_ENCODINGS: Final = {"utf-8": "utf-8", "utf8": "utf-8", "us-ascii": "utf-8", "iso-8859-1": "latin-1"}


def documents(rs: list[DocumentReference], desk: Desk) -> None:
    """Notes: of the time they are about, available when signed, else when written."""
    rs = desk.standing(rs, "DocumentReference")
    rs = desk.without(rs, "DocumentReference: entered in error", lambda r: r.docStatus == "entered-in-error")
    about = [r.context.period for r in rs]
    written = [_signed(r) or r.date for r in rs]
    known = desk.clock.lasts([w or (p.end if p else None) for w, p in zip(written, about, strict=True)])
    begun = [(p.start if p else None) or r.date for r, p in zip(rs, about, strict=True)]
    time = desk.clock.firsts([t or w for t, w in zip(begun, written, strict=True)])
    subject = desk.keys.subjects([r.subject for r in rs])
    kind = ints([desk.code[bytes(r.type)] for r in rs])
    visit = desk.keys.visits([next(iter(r.context.encounter), None) for r in rs])
    ok = desk.admit(
        rs, "DocumentReference", subject=subject, time=time, code=np.where(kind == -1, 0, kind), known=known
    )
    for i in np.flatnonzero(ok).tolist():
        text = read_text([content.attachment for content in rs[i].content], desk.note_limit)
        if isinstance(text, Unread):
            desk.dropped[text.reason] += 1
            continue
        add_note(
            desk, text, source=f"DocumentReference/{rs[i].id}", subject=int(subject[i]), visit=int(visit[i]),
            kind=int(kind[i]), times=(int(time[i]), int(known[i])),
        )  # fmt: skip


def _signed(r: DocumentReference) -> str | None:
    return next((one.valueDateTime for one in r.extension if one.url == AUTHENTICATED), None)


def add_note(  # noqa: PLR0913 - one column each
    desk: Desk, text: str, *, source: str, subject: int, visit: int, kind: int, times: tuple[int, int]
) -> None:
    """Take note of a note."""
    time, known = times
    row = {
        "subject_id": subject,
        "time": moment(time),
        "available": moment(known if known == clock.NONE else max(time, known)),
        "visit_id": None if visit < 0 else visit,
        "site": desk.site,
        "source": source,
        "kind": desk.book.spelling(kind) if kind >= 0 else None,
        "text": text,
    }
    desk.side.add("notes", row)


@dataclass(frozen=True)
class Unread:
    """Why there is no text: a fixed phrase."""

    reason: str


EMPTY: Final = Unread("note: empty")
TOO_LONG: Final = Unread("note: longer than max_note_bytes")
NOT_TEXT: Final = Unread("note: not plain text")
ELSEWHERE: Final = Unread("note: its text is not in the record")


def read_text(attachments: Sequence[Attachment], limit: int) -> str | Unread:
    """Give the first plain text among attachments, or why there is none."""
    plain = [one for one in attachments if (one.contentType or "text/plain").lower().startswith("text/plain")]
    if not plain:
        return NOT_TEXT if attachments else EMPTY
    one = next((one for one in plain if one.data), None)
    if one is None or one.data is None:
        return ELSEWHERE if any(one.url for one in plain) else EMPTY
    if len(one.data) // 4 * 3 > limit + 2:
        return TOO_LONG
    return checked(_decoded(one.data, one.contentType or ""), limit)


def checked(text: str | None, limit: int) -> str | Unread:
    """Refuse text that is none, empty or too long."""
    if text is None or "\x00" in text:
        return NOT_TEXT
    if not text.strip():
        return EMPTY
    return TOO_LONG if len(text) > limit or len(text.encode()) > limit else text


def _decoded(data: str, content_type: str) -> str | None:
    charset = content_type.lower().partition("charset=")[2].strip(' ";') or "utf-8"
    try:
        return b64decode("".join(data.split()), validate=True).decode(_ENCODINGS[charset])
    except (binascii.Error, ValueError, KeyError):
        return None
