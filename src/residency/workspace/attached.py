"""In: what is attached to a patient's timeline. Out: a card that lists it by kind, the newest first."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from residency.workspace import charts, words
from residency.workspace.client import Attachment

_NONE: Final = {"note": "No note by then.", "image": "No image by then.", "genome": "No genome by then."}


def attached_card(
    attachments: Sequence[Attachment], open_one: Callable[[Attachment], Awaitable[None]]
) -> None:
    """Draw the card.

    Args:
        attachments: known by the time asked about, the newest last.
        open_one: shows one of them.
    """
    from nicegui import ui

    with ui.element("div").classes("r-card"):
        ui.label("Notes, images and genome").classes("r-title")
        with ui.element("div").classes("r-columns q-mt-sm"):
            for kind, lane in charts.LANES.items():
                mine = [one for one in reversed(attachments) if one.kind == kind]
                with ui.element("div"):
                    ui.label(f"{lane} ({len(mine)})" if mine else lane).classes("r-muted")
                    with ui.element("div").classes("r-scroll"):
                        for one in mine:
                            _row(one, open_one)
                    if not mine:
                        ui.label(_NONE[kind]).classes("r-muted q-pa-sm")


def _row(item: Attachment, open_one: Callable[[Attachment], Awaitable[None]]) -> None:
    from nicegui import ui

    async def chosen() -> None:
        await open_one(item)

    row = ui.element("div").classes("r-row r-item").on("click", chosen).on("keydown.enter", chosen)
    with row.props("tabindex=0 role=button"):
        ui.label(words.day(item.time or item.available)).classes("r-muted r-date")
        ui.label(item.title.removeprefix("Genome: "))
