"""In: how a release stands. Out: a dialog: what was examined, what passed, and for whom it cannot tell."""

from typing import Any

from residency.workspace import words
from residency.workspace.client import Allowed, Figures, Standing
from residency.workspace.windows import cell

_METRICS = ("auroc", "auprc", "calibration_slope", "ici", "net_benefit")


def examined_dialog(standing: Standing) -> Any:
    """Make the dialog, closed."""
    from nicegui import ui

    card = standing.card
    with (
        ui.dialog() as dialog,
        ui.element("div")
        .classes("r-card")
        .style("max-width: 980px; width: 90vw; max-height: 86vh; overflow: auto"),
    ):
        ui.label("What was examined").classes("r-name")
        ui.label(f"{card.name}, release {standing.release[:12]}").classes("r-muted")
        if card.simulated:
            ui.label("All patients were simulated: the figures say nothing about medicine.").classes(
                "r-note q-my-sm"
            )
        ui.label(
            "Held-out patients; 95% intervals by patient. The baseline is gradient-boosted trees on counts."
        ).classes("r-muted")
        for item in standing.allow_list.allowed:
            _task(item, [f for f in card.figures if f.task == item.examined.task])
        if standing.allow_list.refused:
            ui.label("Examined and refused").classes("r-title q-mt-md")
        for refused in standing.allow_list.refused:
            ui.label(f"{words.name(refused.task)}: {'; '.join(refused.reasons)}").classes("r-muted")
        if card.to_be_stated:
            ui.label("Still to be stated by people").classes("r-title q-mt-md")
            ui.label(", ".join(key.replace("_", " ") for key in card.to_be_stated)).classes("r-muted")
        ui.button("Close", on_click=dialog.close).props("flat no-caps").classes("q-mt-md")
    return dialog


def _task(item: Allowed, figures: list[Figures]) -> None:
    from nicegui import ui

    horizons = ", ".join(words.horizon(days) for days in item.examined.horizons_days)
    ui.label(f"{words.name(item.examined.task)}, within {horizons}").classes("r-title q-mt-md")
    if item.examined.who:
        ui.label(item.examined.who).classes("r-muted")
    with ui.element("table").classes("r-table q-mt-xs"):
        with ui.element("tr"):
            for head in ("patients", "events", "", *map(words.metric, _METRICS)):
                cell("th", head)
        for measured in figures:
            _rows(measured, item)


def _rows(measured: Figures, item: Allowed) -> None:
    from nicegui import ui

    verdict = item.populations.get(measured.slice, "pass" if measured.slice == "all" else "")
    judged = {"fail": " – did not pass", "insufficient": " – cannot tell"}.get(verdict, "")
    who = f"{words.population(measured.slice)}{judged}"
    for name, source in (("model", measured.model), ("trees", measured.baseline)):
        with ui.element("tr"):
            cell("td", who if name == "model" else "")
            cell("td", f"{measured.events:,} of {measured.patients:,}" if name == "model" else "")
            cell("td", name)
            for metric in _METRICS:
                cell("td", words.figure(source.get(metric)))
