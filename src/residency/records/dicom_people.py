"""In: the header of an instance. Out: when it was made, and who it says the patient is."""

import re
from collections.abc import Iterator
from typing import Final

from pydicom.dataset import Dataset

from residency.records import clock
from residency.records.clock import Clock

_TIMES: Final = ("Acquisition", "Content", "Series", "Study")
_DATE: Final = re.compile(r"(\d{4})[.]?(\d\d)[.]?(\d\d)", re.ASCII)
_TIME: Final = re.compile(r"(\d\d):?(\d\d)?:?(\d\d)?(?:[.](\d{1,6}))?", re.ASCII)
_DATE_TIME: Final = re.compile(r"(\d{8})(\d{2,6}(?:[.]\d{1,6})?)?([+-]\d{4})?", re.ASCII)
_ZONE: Final = re.compile(r"[+-]\d{4}", re.ASCII)


def words(dataset: Dataset, keyword: str) -> str | None:
    """Give an attribute as text, the first where there are several; None where there is none."""
    value = dataset.get(keyword)
    if value is None or isinstance(value, (bytes, Dataset)):
        return None
    text = str(value[0] if not isinstance(value, str) and hasattr(value, "__getitem__") and value else value)
    return text.strip(" \x00") or None


def moments(dataset: Dataset, reader: Clock) -> tuple[int, int]:
    """Give the first and last instant that the time of acquisition means; NONE where the header has none.

    The most precise of acquisition, content, series and study that is a time stands for it.
    """
    zone = words(dataset, "TimezoneOffsetFromUTC") or ""
    for text in _texts(dataset, zone if _ZONE.fullmatch(zone) else ""):
        if reader.first[text] not in (clock.NONE, clock.BAD):
            return reader.first[text], reader.last[text]
    return clock.NONE, clock.NONE


def _texts(dataset: Dataset, zone: str) -> Iterator[str]:
    """Spell the times of a header in ISO 8601, the most precise first."""
    if found := _DATE_TIME.fullmatch(words(dataset, "AcquisitionDateTime") or ""):
        yield from _joined(found[1], found[2] or "", found[3] or zone)
    for name in _TIMES:
        date, time = words(dataset, f"{name}Date") or "", words(dataset, f"{name}Time") or ""
        yield from _joined(date, time, zone)


def _joined(date: str, time: str, zone: str) -> Iterator[str]:
    day = _DATE.fullmatch(date)
    if day is None:
        return
    whole = "-".join(day.groups())
    if found := _TIME.fullmatch(time):
        hour, minute, second, fraction = found.groups()
        offset = f"{zone[:3]}:{zone[3:]}" if zone else ""
        yield f"{whole}T{hour}:{minute or '00'}:{second or '00'}.{(fraction or '0'):0<6}{offset}"
    yield whole


def identities(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """Give names, numbers and addresses of the header, for the scrubbing of notes."""
    for keyword in ("PatientName", "OtherPatientNames", "PatientBirthName"):
        parts = [part for part in re.split(r"[\^=]", words(dataset, keyword) or "") if part.strip()]
        family, given = parts[:1], parts[1:]
        yield from (("name", part.strip()) for part in parts)
        if given:
            yield "name", " ".join(part.strip() for part in (*given, *family))
    for keyword in ("PatientID", "OtherPatientIDs"):
        if value := words(dataset, keyword):
            yield "number", value
    for keyword, kind in (("PatientAddress", "address"), ("PatientTelephoneNumbers", "telephone")):
        if value := words(dataset, keyword):
            yield kind, value
    if born := _DATE.fullmatch(words(dataset, "PatientBirthDate") or ""):
        yield "date_of_birth", "-".join(born.groups())
