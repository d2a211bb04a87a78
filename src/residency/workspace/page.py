"""In: an application, the address of its API, a key. Out: the first page: patients, timeline, risks."""

import logging
from importlib.resources import files
from typing import Any

from residency.contract.errors import ResidencyError
from residency.workspace import words
from residency.workspace.chart import Chart
from residency.workspace.client import Api, Listed, Standing
from residency.workspace.examined import examined_dialog


def attach(app: Any, api_url: str, key: str | None = None) -> None:
    """Put the page on an application, at `/`.

    Args:
        app: a FastAPI application.
        api_url: of the HTTP API, which may be the same application's.
        key: that the page asks with; where None, whoever opens the page is asked for their own.
    """
    from nicegui import ui

    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs addresses, and one of ours names a patient
    style = files("residency.workspace").joinpath("page.css").read_text("utf-8")

    @ui.page("/", title="Residency", response_timeout=_PATIENCE_SECONDS, reconnect_timeout=_PATIENCE_SECONDS)
    async def root() -> None:
        ui.add_css(style)
        ui.colors(
            primary="#274c77", positive="#274c77", negative="#b4541a", warning="#b4541a", info="#5d6b7a"
        )
        shell = ui.column().classes("w-full gap-0")
        if key is not None:
            await _show(shell, Api(api_url, key))
        else:
            _ask_for_key(shell, api_url)

    ui.run_with(app, title="Residency", reconnect_timeout=_PATIENCE_SECONDS, show_welcome_message=False)


def _ask_for_key(shell: Any, api_url: str) -> None:
    from nicegui import ui

    with shell, ui.column().classes("r-card q-ma-lg").style("max-width: 420px"):
        ui.label("Residency").classes("r-name")
        field = ui.input("Your key", password=True).classes("w-full")
        fault = ui.label("").classes("r-warn")

        async def enter() -> None:
            fault.text = ""
            try:
                await _show(shell, Api(api_url, field.value or ""))
            except ResidencyError as error:
                fault.text = error.what

        ui.button("Open", on_click=enter).props("unelevated no-caps")


async def _show(shell: Any, api: Api) -> None:
    from nicegui import ui

    standing = await api.standing()
    patients = await api.patients() if standing.panel else ()
    shell.clear()
    with shell:
        _head(standing)
        with ui.element("div").classes("r-body"):
            chart = Chart(api, standing)
            refresh = _panel(patients, chart)
            chart.build()
        ui.label(words.NOTICE).classes("r-foot")
    if patients:
        await chart.open(patients[0])
        refresh()


def _head(standing: Standing) -> None:
    from nicegui import ui

    if standing.banner:
        ui.label(standing.banner).classes("r-banner")
    dialog = examined_dialog(standing)
    with ui.element("div").classes("r-head"):
        ui.label("Residency").classes("r-name")
        ui.label(standing.card.institution).classes("r-muted")
        ui.label(standing.state).classes("r-chip")
        ui.label(f"{words.STATES.get(standing.state, '')}; release {standing.release[:12]}").classes(
            "r-muted"
        )
        ui.element("div").classes("r-grow")
        if standing.card.simulated:
            ui.label("Patients are simulated.").classes("r-warn")
        ui.label(f"Feed last delivered {words.day(standing.newest_record)}").classes("r-muted")
        ui.label("What was examined").classes("r-link").on("click", dialog.open)


def _panel(patients: tuple[Listed, ...], chart: Chart) -> Any:
    """Draw the list, and give what draws it anew."""
    from nicegui import ui

    with ui.element("div").classes("r-card r-list"):
        ui.label(f"Patients ({len(patients):,})").classes("r-title")
        search = (
            ui.input(placeholder="Number, birth date or site")
            .props("dense outlined clearable")
            .classes("w-full q-my-sm")
        )

        @ui.refreshable
        def rows() -> None:
            wanted = (search.value or "").strip().lower()
            found = [one for one in patients if wanted in _searchable(one)]
            for one in found[:_SHOWN]:
                _row(one, chart, rows.refresh)
            if len(found) > _SHOWN:
                ui.label(f"… and {len(found) - _SHOWN:,} more: search").classes("r-muted q-pa-sm")

        search.on_value_change(lambda: rows.refresh())
        rows()
    return rows.refresh


_SHOWN = 40
_PATIENCE_SECONDS = 60.0


def _searchable(patient: Listed) -> str:
    return f"{patient.reference} {patient.born or ''} {words.born(patient)} {patient.site}".lower()


def _row(patient: Listed, chart: Chart, refresh: Any) -> None:
    from nicegui import ui

    async def choose() -> None:
        await chart.open(patient)
        refresh()

    is_open = chart.patient is not None and chart.patient.subject_id == patient.subject_id
    with ui.element("div").classes("r-row r-on" if is_open else "r-row").on("click", choose):
        with ui.row().classes("w-full items-baseline justify-between gap-1"):
            ui.label(patient.reference).classes("text-weight-bold")
            ui.label(f"born {words.born(patient)}").classes("r-muted")
        died = "; died" if patient.died else ""
        ui.label(
            f"{patient.sex or 'sex not known'}, {patient.site}; newest {words.day(patient.latest)}{died}"
        ).classes("r-muted")
