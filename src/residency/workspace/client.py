"""In: the address of the HTTP API and a key. Out: what it says, typed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, TypeVar

import httpx
import msgspec
from msgspec import UNSET, Struct

from residency.contract.errors import AccessError, ResidencyError
from residency.contract.questions import Answer, Forecast, Modality, Occurrence, Outcome
from residency.contract.report import Metric

T = TypeVar("T")


class Listed(Struct, frozen=True, kw_only=True):
    """One patient of the panel."""

    subject_id: str
    reference: str
    born: str | None
    sex: str | None
    site: str
    died: bool
    events: int
    latest: datetime | None


class Event(Struct, frozen=True, kw_only=True):
    """One event of a patient."""

    time: datetime | None
    available: datetime | None
    code: str
    description: str | None
    value: float | None
    unit: str | None
    source: str | None


class Examined(Struct, frozen=True, kw_only=True):
    """What one task asked."""

    task: str
    outcome: Outcome
    horizons_days: tuple[float, ...]
    occurrence: Occurrence = "any"
    who: str = ""


class Attachment(Struct, frozen=True, kw_only=True):
    """One note, image or genome, without what it holds."""

    kind: Literal["note", "image", "genome"]
    number: int
    time: datetime | None
    available: datetime | None
    title: str
    source: str | None


class Picture(Struct, frozen=True, kw_only=True):
    """What is known of an image."""

    modality: str
    slices: int
    rows: int
    columns: int
    aspect: float
    slice_mm: float | None
    center: float
    width: float
    hounsfield: bool


class Variant(Struct, frozen=True, kw_only=True):
    """One row of a genome."""

    gene: str | None
    name: str | None
    place: str | None
    change: str | None
    genotype: str | None
    phenotype: str | None
    called: bool


class Genome(Struct, frozen=True, kw_only=True):
    """The rows of a genome that are shown, and how many there are."""

    rows: tuple[Variant, ...]
    rows_in_all: int


class Allowed(Struct, frozen=True, kw_only=True):
    """One task that may be answered, and how each population fared."""

    examined: Examined
    populations: dict[str, str]


class Refused(Struct, frozen=True, kw_only=True):
    """One task that is off."""

    task: str
    reasons: tuple[str, ...]


class AllowList(Struct, frozen=True, kw_only=True):
    """What the release may answer for."""

    allowed: tuple[Allowed, ...]
    refused: tuple[Refused, ...] = ()


class Figures(Struct, frozen=True, kw_only=True):
    """What was measured on one slice of one task."""

    task: str
    slice: str
    patients: int
    events: int
    can_tell: bool
    model: dict[str, Metric]
    baseline: dict[str, Metric]
    paired: dict[str, Metric]


class Card(Struct, frozen=True, kw_only=True):
    """The parts of a model card that the page shows."""

    name: str
    notice: str
    institution: str
    simulated: bool | None
    figures: tuple[Figures, ...]
    stated: dict[str, str]
    to_be_stated: dict[str, str]


class Standing(Struct, frozen=True, kw_only=True):
    """How the release stands."""

    release: str
    name: str
    state: str
    demo: bool
    banner: str
    panel: bool
    newest_record: datetime | None
    why_not: dict[str, str]
    allow_list: AllowList
    card: Card


class _Patients(Struct, frozen=True):
    patients: tuple[Listed, ...]


class _Events(Struct, frozen=True):
    events: tuple[Event, ...]


class _Attachments(Struct, frozen=True):
    attachments: tuple[Attachment, ...]


class _Note(Struct, frozen=True):
    text: str


class _Answers(Struct, frozen=True):
    answers: tuple[Answer, ...]


class _Answered(Struct, frozen=True):
    answer: Answer


class Api:
    """The HTTP API, as one key sees it.

    Args:
        url: where it is, for example `http://127.0.0.1:8000`.
        key: of a grant.
    """

    def __init__(self, url: str, key: str) -> None:
        self._url, self._key = url.rstrip("/"), key

    async def standing(self) -> Standing:
        """Say how the release stands."""
        return await self._call("GET", "release", Standing)

    async def patients(self) -> tuple[Listed, ...]:
        """List the panel."""
        return (await self._call("GET", "patients", _Patients)).patients

    async def events(self, subject_id: str) -> tuple[Event, ...]:
        """Give one patient's events."""
        return (await self._call("GET", f"patients/{subject_id}/events", _Events)).events

    async def attachments(self, subject_id: str, as_of: datetime) -> tuple[Attachment, ...]:
        """List the notes, images and genomes that were known by a time, the newest last."""
        path = f"patients/{subject_id}/attachments"
        return (await self._call("GET", path, _Attachments, query={"as_of": as_of.isoformat()})).attachments

    async def note(self, subject_id: str, number: int, as_of: datetime) -> str:
        """Give a note's text."""
        path = f"patients/{subject_id}/notes/{number}"
        return (await self._call("GET", path, _Note, query={"as_of": as_of.isoformat()})).text

    async def genome(self, subject_id: str, number: int, as_of: datetime) -> Genome:
        """Give a genome's table."""
        path = f"patients/{subject_id}/genomes/{number}"
        return await self._call("GET", path, Genome, query={"as_of": as_of.isoformat()})

    async def picture(self, subject_id: str, number: int, as_of: datetime) -> Picture:
        """Say what is known of an image."""
        path = f"patients/{subject_id}/images/{number}"
        return await self._call("GET", path, Picture, query={"as_of": as_of.isoformat()})

    async def slice_png(
        self, subject_id: str, image: tuple[int, int], window: tuple[float, float], as_of: datetime
    ) -> bytes:
        """Draw a slice.

        Args:
            subject_id: whose it is.
            image: number of the image, and of the slice.
            window: centre and width.
            as_of: by when it was known.
        """
        number, place = image
        query = {"as_of": as_of.isoformat(), "center": window[0], "width": window[1]}
        found = await self._answer(
            "GET", f"patients/{subject_id}/images/{number}/slices/{place}", query=query
        )
        return found.content

    async def trajectory(
        self, subject_id: str, times: Sequence[datetime], modalities: Sequence[str] | None = None
    ) -> tuple[Answer, ...]:
        """Ask for everything that is allowed, at several times, of some kinds of records or of all."""
        body = {"subject_id": subject_id, "times": [time.isoformat() for time in times]}
        if modalities is not None:
            body["modalities"] = list(modalities)
        return (await self._call("POST", "trajectory", _Answers, body)).answers

    async def evidence(
        self, subject_id: str, as_of: datetime, item: Allowed, modalities: Sequence[Modality] | None = None
    ) -> Answer:
        """Ask what moved the model, for a task's longest horizon."""
        examined = item.examined
        question = Forecast(
            outcomes=(examined.outcome,),
            horizons_days=examined.horizons_days[-1:],
            occurrence=examined.occurrence,
            evidence=True,
            modalities=UNSET if modalities is None else tuple(modalities),
        )
        body = {
            "subject_id": subject_id,
            "as_of": as_of.isoformat(),
            "question": msgspec.to_builtins(question),
        }
        return (await self._call("POST", "ask", _Answered, body)).answer

    async def _call(
        self,
        method: str,
        path: str,
        kind: type[T],
        body: dict[str, Any] | None = None,
        query: dict[str, Any] | None = None,
    ) -> T:
        return msgspec.json.decode((await self._answer(method, path, body, query)).content, type=kind)

    async def _answer(
        self, method: str, path: str, body: dict[str, Any] | None = None, query: dict[str, Any] | None = None
    ) -> httpx.Response:
        """Call, and say what the service said where it refused.

        Raises:
            AccessError: the key is not known, or may not.
            ResidencyError: anything else.
        """
        try:
            async with httpx.AsyncClient(
                base_url=self._url, timeout=60, headers={"api-key": self._key}
            ) as client:
                answer = await client.request(method, f"/residency/v1/{path}", json=body, params=query)
        except httpx.HTTPError:
            raise ResidencyError("the service does not answer", mend="see whether it runs") from None
        if answer.status_code == 200:
            return answer
        found = answer.json()
        kind_of_error = AccessError if answer.status_code in (401, 403) else ResidencyError
        raise kind_of_error(str(found.get("what", "the service failed")), mend=str(found.get("mend", "")))
