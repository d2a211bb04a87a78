"""In: a figure on the page. Out: a dialog that says which of the patient's records moved it, and by how much.

What a record says is put on the page as text, as everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from residency.contract.errors import ResidencyError
from residency.contract.questions import Answer, Citation, Modality, Moved
from residency.workspace import words
from residency.workspace.client import Allowed, Api, Attachment, Event, Listed
from residency.workspace.windows import cell, head

TITLE: Final = "What moved the model"
NOT_WHY: Final = (
    "What the figure rests on, not why the patient is ill or will be. All records of a code, or all "
    "documents of a sort, are taken away together, and the model is asked again; of a note or image, parts "
    "of the newest. What is on record twice, in two codes, hides itself."
)
NOTHING: Final = "No record, taken away, moves this figure."
_MOST_SAID: Final = 300  # characters of a note


@dataclass(frozen=True)
class Evidence:
    """Says what moved one patient's figures.

    Attributes:
        api: that is asked.
        patient: whose they are.
        as_of: only what was known by then is used.
        modalities: that the figures rest on; None for all.
        events: of the patient.
        attachments: known by then.
    """

    api: Api
    patient: Listed
    as_of: datetime
    modalities: tuple[Modality, ...] | None
    events: Sequence[Event]
    attachments: Sequence[Attachment]

    async def show(self, item: Allowed) -> None:
        """Ask, and show what comes back, of the longest horizon of a task."""
        from nicegui import ui

        with ui.dialog() as dialog, ui.element("div").classes("r-card r-dialog"):
            head(TITLE, self.patient, dialog)
            horizon = words.horizon(item.examined.horizons_days[-1])
            ui.label(f"{words.name(item.examined.outcome.name)} within {horizon}").classes("q-mb-sm")
            body = ui.element("div")
            with body:
                ui.label("Asking the model without each …").classes("r-muted")
        dialog.on("hide", dialog.delete)
        dialog.open()
        try:
            answer = await self.api.evidence(self.patient.subject_id, self.as_of, item, self.modalities)
            rows = [(said, await self._quoted(said.citation)) for said in answer.moved]
            fault = "" if answer.subject == self.patient.subject_id else "it was about another patient"
        except ResidencyError as error:
            answer, rows, fault = None, [], error.what
        body.clear()
        with body:
            if answer is None or fault:
                ui.label(f"No answer: {fault}.").classes("r-note")
            else:
                self._table(answer, rows)

    def _table(self, answer: Answer, rows: Sequence[tuple[Moved, str]]) -> None:
        from nicegui import ui

        if not rows or not answer.risks:
            ui.label(NOTHING).classes("r-note")
        else:
            with ui.element("table").classes("r-table"):
                with ui.element("tr"):
                    for name in ("record", "newest", "figure with it", "without it"):
                        cell("th", name)
                whole = answer.risks[-1].probability
                for said, quoted in rows:
                    self._row(said, quoted, whole)
        ui.label(NOT_WHY).classes("r-muted q-mt-sm")

    def _row(self, said: Moved, quoted: str, whole: float) -> None:
        from nicegui import ui

        what, when = self._record(said)
        with ui.element("tr"):
            with ui.element("td"):
                ui.label(what)
                if quoted:
                    ui.label(quoted).classes("r-muted")
            cell("td", words.day(when))
            cell("td", words.percent(whole))
            without = words.percent(min(max(whole + said.change, 0.0), 1.0))
            cell("td", f"{without} ({100 * said.change:+.1f} points)")

    def _record(self, said: Moved) -> tuple[str, datetime | None]:
        """Say what a record is, and of when."""
        attached = self._attached(said.citation)
        if attached is not None:
            return attached.title, attached.time or attached.available
        mine = [e for e in self.events if e.source == said.citation.source and e.code == said.code]
        if not mine:
            return said.code, None
        newest = mine[-1]
        value = "" if newest.value is None else f" {newest.value:g} {newest.unit or ''}".rstrip()
        return f"{newest.description or newest.code}{value}", newest.time

    def _attached(self, citation: Citation) -> Attachment | None:
        found = [one for one in self.attachments if one.source == citation.source]
        return found[-1] if found else None

    async def _quoted(self, citation: Citation) -> str:
        """Give the part of a note or an image that is pointed at."""
        if citation.region is not None:
            return words.region(citation.region)
        attached = self._attached(citation)
        if citation.start is None or attached is None:
            return ""
        text = await self.api.note(self.patient.subject_id, attached.number, self.as_of)
        said = " ".join(text[citation.start : citation.end].split())
        return f"“{said[:_MOST_SAID]}{'…' if len(said) > _MOST_SAID else ''}”"
