"""What moved a figure, in words: the record, its date, and the place in a note."""

import asyncio
from datetime import datetime

from residency.contract.questions import Citation, Moved
from residency.workspace.client import Api, Attachment, Event, Listed
from residency.workspace.moved import Evidence

AT = datetime(2024, 3, 1)  # noqa: DTZ001 - wall clock
TEXT = "Well today.\nSmokes twenty a day.  Coughs."


class Notes(Api):
    """Gives one note."""

    def __init__(self) -> None:
        super().__init__("http://nowhere", "")

    async def note(self, subject_id: str, number: int, as_of: datetime) -> str:
        assert (subject_id, number, as_of) == ("1", 4, AT)
        return TEXT


def event(source: str, code: str, value: float | None = None, description: str | None = None) -> Event:
    return Event(
        time=AT, available=AT, code=code, description=description, value=value, unit="mg/dL", source=source
    )


PATIENT = Listed(
    subject_id="1", reference="MRN-1", born=None, sex=None, site="main", died=False, events=3, latest=AT
)
NOTE = Attachment(kind="note", number=4, time=AT, available=AT, title="Progress note", source="Note/4")
EVIDENCE = Evidence(
    Notes(),
    PATIENT,
    AT,
    None,
    (event("Obs/1", "A", 1.5, "Creatinine"), event("Obs/1", "B"), event("Obs/2", "A", 2.0, "Creatinine")),
    (NOTE,),
)


def moved(code: str, source: str, **place: object) -> Moved:
    return Moved(citation=Citation(source=source, **place), code=code, change=-0.1)  # type: ignore[arg-type]


def test_a_record_is_told_by_its_meaning_its_value_and_its_date() -> None:
    assert EVIDENCE._record(moved("A", "Obs/1")) == ("Creatinine 1.5 mg/dL", AT)
    assert EVIDENCE._record(moved("B", "Obs/1")) == ("B", AT)
    assert EVIDENCE._record(moved("C", "Obs/9")) == ("C", None)
    assert EVIDENCE._record(moved("note", "Note/4")) == ("Progress note", AT)


def test_a_part_of_a_note_is_quoted_and_one_of_an_image_named() -> None:
    def quoted(one: Moved) -> str:
        return asyncio.run(EVIDENCE._quoted(one.citation))

    assert quoted(moved("note", "Note/4", start=12, end=44)) == "“Smokes twenty a day. Coughs.”"
    assert quoted(moved("CT", "Study/1", region=(0.5, 0.5, 1.0, 1.0))) == "lower right quarter"
    assert quoted(moved("A", "Obs/1")) == ""
