"""In: an application, a service with a panel. Out: the paths on which a patient of the panel is looked at.

Each look is granted and audited, and nothing is given that became known after `as_of`.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from fastapi import FastAPI, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from residency.serving.attached import image_title
from residency.serving.doors import NOT_KEPT, json_of, key_of
from residency.serving.genomes import Table, table_of
from residency.serving.panel import Panel
from residency.serving.pictures import Picture, Window, picture_of, png_of, window_of
from residency.serving.service import Service

PATIENT: Final = "/residency/v1/patients/{subject_id}"
AsOf = Annotated[datetime | None, Query()]
Grey = Annotated[float | None, Query()]


class NoteText(msgspec.Struct, frozen=True, kw_only=True):
    """What a note holds: plain text, as the source wrote it."""

    text: str


def add_looks(app: FastAPI, service: Service) -> None:
    """Add the paths."""

    async def seen(request: Request, what: str, subject_id: str, see: Callable[[Panel, int], Any]) -> Any:
        return await run_in_threadpool(service.look, key_of(request), what, subject_id, see)

    @app.get(f"{PATIENT}/events")
    async def events(request: Request, subject_id: str) -> Response:
        found = await seen(request, "events", subject_id, lambda panel, one: panel.shown(one))
        return json_of({"events": found})

    @app.get(f"{PATIENT}/attachments")
    async def attachments(request: Request, subject_id: str, as_of: AsOf = None) -> Response:
        at = service.by(as_of)
        found = await seen(request, "attachments", subject_id, lambda panel, one: panel.attached(one, at))
        return json_of({"attachments": found})

    @app.get(f"{PATIENT}/notes/{{number}}")
    async def note(request: Request, subject_id: str, number: int, as_of: AsOf = None) -> Response:
        at = service.by(as_of)
        return json_of(
            await seen(request, "note", subject_id, lambda panel, one: _note(panel, one, number, at))
        )

    @app.get(f"{PATIENT}/genomes/{{number}}")
    async def genome(request: Request, subject_id: str, number: int, as_of: AsOf = None) -> Response:
        see = _genome(service, number, service.by(as_of))
        return json_of(await seen(request, "genome", subject_id, see))

    @app.get(f"{PATIENT}/images/{{number}}")
    async def image(request: Request, subject_id: str, number: int, as_of: AsOf = None) -> Response:
        at = service.by(as_of)
        return json_of(
            await seen(request, "image", subject_id, lambda panel, one: _picture(panel, one, number, at))
        )

    @app.get(f"{PATIENT}/images/{{number}}/slices/{{place}}")
    async def slice_of(  # noqa: PLR0913 - one a part of the address
        request: Request,
        subject_id: str,
        number: int,
        place: int,
        as_of: AsOf = None,
        center: Grey = None,
        width: Grey = None,
    ) -> Response:
        see = _slice(number, place, service.by(as_of), (center, width))
        return Response(
            await seen(request, "image", subject_id, see), media_type="image/png", headers=NOT_KEPT
        )


def _note(panel: Panel, subject_id: int, number: int, as_of: datetime) -> NoteText:
    row = panel.documents.one("note", subject_id, number, as_of)
    return NoteText(text=row["text"][0] or "")


def _genome(service: Service, number: int, as_of: datetime) -> Callable[[Panel, int], Table]:
    def see(panel: Panel, subject_id: int) -> Table:
        return table_of(panel.documents.one("genome", subject_id, number, as_of), service.genome_encoder)

    return see


def _picture(panel: Panel, subject_id: int, number: int, as_of: datetime) -> Picture:
    row, voxels = panel.documents.image(subject_id, number, as_of)
    return picture_of(row, image_title(row), voxels)


def _slice(
    number: int, place: int, as_of: datetime, grey: tuple[float | None, float | None]
) -> Callable[[Panel, int], bytes]:
    def see(panel: Panel, subject_id: int) -> bytes:
        row, voxels = panel.documents.image(subject_id, number, as_of)
        center, width = grey
        window = window_of(row, voxels) if center is None or width is None else Window(center, width)
        return png_of(voxels, place, window)

    return see
