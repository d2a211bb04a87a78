"""In: a window that opens over the page. Out: its head, which says whose it is; the cells of its tables."""

from typing import Any

from residency.workspace import words
from residency.workspace.client import Listed


def head(title: str, patient: Listed, dialog: Any) -> None:
    """Say what it is, and whose: the two identifiers are on every window."""
    from nicegui import ui

    with ui.element("div").classes("r-dialog-head"):
        ui.label(title).classes("r-name")
        ui.element("div").classes("r-grow")
        ui.button("Close", on_click=dialog.close).props("flat no-caps dense")
    ui.label(f"Patient {patient.reference}, born {words.born(patient)}").classes("r-title")


def cell(kind: str, text: str) -> None:
    """Put a cell into a row: `th` or `td`."""
    from nicegui import ui

    with ui.element(kind):
        ui.label(text)
