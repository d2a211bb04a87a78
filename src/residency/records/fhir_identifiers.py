"""In: patients. Out: who they are (names, addresses, numbers) as rows of identifiers, and their languages."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeVar

import msgspec
from msgspec import Raw

from residency.records.desk import Desk
from residency.records.draft import Ints
from residency.records.resource_parts import Address, Communication, ContactPoint, HumanName
from residency.records.resources import CONTACTS, IDENTIFIERS, LANGUAGES, NAMES, TELECOM, Patient

_UNREADABLE: Final = "Patient: a name, number or address that cannot be read"
_SYSTEMS: Final = {"phone": "telephone", "fax": "telephone", "pager": "telephone", "sms": "telephone"}
T = TypeVar("T")
Identity = tuple[str, str]


def identifiers(rs: list[Patient], subject: Ints, desk: Desk) -> None:
    """Take note of who patients are, each thing once."""
    for r, one in zip(rs, subject.tolist(), strict=True):
        for kind, value in dict.fromkeys(_all(r, desk)):
            if value.strip():
                desk.side.add("identifiers", {"subject_id": one, "kind": kind, "value": value.strip()})


def numbers(subject: Ints, values: Sequence[Iterable[str | None]], desk: Desk) -> None:
    """Take note of numbers by which other records know patients: of insurance, of studies."""
    for one, given in zip(subject.tolist(), values, strict=True):
        for value in given:
            if one >= 0 and value and value.strip():
                desk.side.add("identifiers", {"subject_id": one, "kind": "number", "value": value.strip()})


def _all(r: Patient, desk: Desk) -> Iterator[Identity]:
    yield "number", r.id
    if r.birthDate:
        yield "date_of_birth", r.birthDate
    yield from (("number", one.value or "") for one in _read(IDENTIFIERS, r.identifier, desk))
    for name in _read(NAMES, r.name, desk):
        yield from _name(name)
    for point in _read(TELECOM, r.telecom, desk):
        yield from _point(point)
    for contact in _read(CONTACTS, r.contact, desk):
        yield from _name(contact.name) if contact.name else ()
        for point in contact.telecom:
            yield from _point(point)
    for address in r.address:
        yield from _address(address)


def _read(decoder: msgspec.json.Decoder[list[T]], raw: Raw, desk: Desk) -> list[T]:
    body = bytes(raw)
    if not body or body == b"null":
        return []
    try:
        return decoder.decode(body)
    except (msgspec.ValidationError, UnicodeDecodeError):
        desk.lost[_UNREADABLE] += 1
        return []


def _name(name: HumanName) -> Iterator[Identity]:
    """Give a name whole, and its parts: a note may have either."""
    parts = [part for part in (*name.given, name.family) if part]
    yield "name", " ".join(parts)
    yield "name", name.text or ""
    yield from (("name", part) for part in parts)


def _point(point: ContactPoint) -> Iterator[Identity]:
    kind = "email" if point.system == "email" else _SYSTEMS.get(point.system or "")
    if kind and point.value:
        yield kind, point.value


def _address(address: Address) -> Iterator[Identity]:
    parts = (*address.line, address.city, address.district, address.postalCode)
    yield from (("address", part) for part in parts if part)


def language(r: Patient, desk: Desk) -> str | None:
    """Give the code of the language a patient prefers, else of the first."""
    spoken = _read(LANGUAGES, r.communication, desk)
    chosen: Communication | None = next((one for one in spoken if one.preferred), next(iter(spoken), None))
    if chosen is None or chosen.language is None:
        return None
    return next((coding.code for coding in chosen.language.coding if coding.code), None)
