"""In: one note, image or genome of a patient. Out: a dialog that shows it.

What a record says is put on the page as text: markup in it stays text, and an order in it stays a sentence.
"""

import base64
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from residency.contract.errors import ResidencyError
from residency.workspace import words
from residency.workspace.client import Api, Attachment, Listed, Picture, Variant
from residency.workspace.windows import cell, head

_WINDOWS: Final = {"Lung": (-600.0, 1500.0), "Soft tissue": (40.0, 400.0), "Bone": (300.0, 1500.0)}
NOT_DIAGNOSTIC: Final = (
    "Not for diagnosis: reduced to 256 greys, and not calibrated. Read it in your image viewer."
)
_AS_READ: Final = "Phenotypes as the model reads this genome, not a laboratory's report."


@dataclass(frozen=True)
class Opener:
    """Opens what is attached to one patient's timeline.

    Attributes:
        api: that is asked.
        patient: whose it is.
        as_of: what was not known by then is not given.
    """

    api: Api
    patient: Listed
    as_of: datetime

    async def open(self, item: Attachment) -> None:
        """Show one of them."""
        from nicegui import ui

        with ui.dialog() as dialog, ui.element("div").classes("r-card r-dialog"):
            self._head(item, dialog)
            body = ui.element("div")
        dialog.on("hide", dialog.delete)
        dialog.open()
        try:
            await self._fill(item, body)
        except ResidencyError as error:
            with body:
                ui.label(f"Cannot be shown: {error.what}.").classes("r-note")

    async def _fill(self, item: Attachment, body: Any) -> None:
        where = (self.patient.subject_id, item.number, self.as_of)
        if item.kind == "note":
            text = await self.api.note(*where)
            with body:
                _note(text)
        elif item.kind == "genome":
            table = await self.api.genome(*where)
            with body:
                _genome(table.rows, table.rows_in_all)
        else:
            picture = await self.api.picture(*where)
            with body:
                viewer = Viewer(self, item, picture)
                viewer.build()
            await viewer.draw()

    def _head(self, item: Attachment, dialog: Any) -> None:
        """Say what it is, whose, and since when it is known."""
        from nicegui import ui

        head(item.title, self.patient, dialog)
        known = f"known {words.day(item.available)}" if item.available else "always known"
        about = [words.day(item.time) if item.time else "", known, item.source or ""]
        ui.label("; ".join(part for part in about if part)).classes("r-muted q-mb-sm")


def _note(text: str) -> None:
    from nicegui import ui

    ui.label(text).classes("r-paper")  # a label's text is text, whatever it holds
    ui.label("As it stands in the record.").classes("r-muted q-mt-sm")


def _genome(rows: tuple[Variant, ...], rows_in_all: int) -> None:
    from nicegui import ui

    with ui.element("div").classes("r-scroll r-tall"), ui.element("table").classes("r-table"):
        with ui.element("tr"):
            for name in ("gene", "result", "genotype", "phenotype"):
                cell("th", name)
        for row in rows:
            with ui.element("tr"):
                cell("td", row.gene or "–")
                cell("td", _result(row))
                cell("td", words.genotype(row.genotype))
                cell("td", words.phenotype(row.gene, row.phenotype))
    if rows_in_all > len(rows):
        ui.label(f"… and {rows_in_all - len(rows):,} more").classes("r-muted")
    said = _AS_READ if any(row.phenotype for row in rows) else "This release's model reads no genomes."
    ui.label(said).classes("r-muted q-mt-sm")


def _result(row: Variant) -> str:
    if row.called:
        return row.name or "–"
    place = f"{row.place} {row.change}" if row.place and row.change else row.place or row.change or ""
    return ", ".join(part for part in (row.name, place) if part) or "–"


class Viewer:
    """An image with its slices and its window."""

    def __init__(self, opener: Opener, item: Attachment, picture: Picture) -> None:
        self._opener, self._item, self._picture = opener, item, picture
        self._slice = picture.slices // 2
        self._window = (picture.center, picture.width)
        self._shown: Any = None
        self._place: Any = None
        self._slider: Any = None
        self._said: Any = None

    def build(self) -> None:
        """Make room for the picture, and its controls."""
        from nicegui import ui

        picture = self._picture
        with ui.element("div").classes("r-light"):
            self._shown = (
                ui.image().props("no-spinner no-transition").style(f"aspect-ratio: {picture.aspect:.4f}")
            )
        ui.label(NOT_DIAGNOSTIC).classes("r-warn q-my-sm")
        with ui.element("div").classes("r-knobs"):
            if picture.slices > 1:
                self._slices()
            self._grey()
            if picture.hounsfield:
                self._presets()
        size = f"{picture.columns} × {picture.rows} pixels"
        gap = f", {picture.slice_mm:.1f} mm apart" if picture.slice_mm and picture.slices > 1 else ""
        ui.label(f"{size}, {picture.slices} slice{'s' if picture.slices > 1 else ''}{gap}").classes("r-muted")

    def _slices(self) -> None:
        from nicegui import ui

        self._place = ui.label(self._where()).classes("r-muted")
        slider = ui.slider(min=1, max=self._picture.slices, value=self._slice + 1)

        async def moved() -> None:
            self._slice = int(slider.value) - 1
            self._place.set_text(self._where())
            await self.draw()

        slider.on_value_change(moved)

    def _where(self) -> str:
        return f"Slice {self._slice + 1} of {self._picture.slices}"

    def _grey(self) -> None:
        from nicegui import ui

        center, width = self._window
        low, high = center - width / 2, center + width / 2
        unit = " HU" if self._picture.hounsfield else ""
        said = ui.label(_greys(low, high, unit)).classes("r-muted")
        slider = ui.range(
            min=low - width, max=high + width, step=width / 100, value={"min": low, "max": high}
        )

        async def moved() -> None:
            low, high = float(slider.value["min"]), float(slider.value["max"])
            self._window = ((low + high) / 2, max(high - low, width / 100))
            said.set_text(_greys(low, high, unit))
            await self.draw()

        slider.on("change", moved)
        self._slider, self._said = slider, said

    def _presets(self) -> None:
        from nicegui import ui

        ui.label("Window").classes("r-muted")
        with ui.row().classes("gap-2"):
            stored = (self._picture.center, self._picture.width)
            for name, window in {"As stored": stored, **_WINDOWS}.items():
                ui.button(name, on_click=lambda window=window: self._choose(window)).props(
                    "flat dense no-caps"
                )

    async def _choose(self, window: tuple[float, float]) -> None:
        self._window = window
        low, high = window[0] - window[1] / 2, window[0] + window[1] / 2
        self._slider.set_value({"min": low, "max": high})
        self._said.set_text(_greys(low, high, " HU"))
        await self.draw()

    async def draw(self) -> None:
        """Fetch the slice as it is asked for."""
        opener = self._opener
        png = await opener.api.slice_png(
            opener.patient.subject_id, (self._item.number, self._slice), self._window, opener.as_of
        )
        self._shown.set_source(f"data:image/png;base64,{base64.b64encode(png).decode()}")


def _greys(low: float, high: float, unit: str) -> str:
    return f"Black {low:,.0f} to white {high:,.0f}{unit}"
