"""In: one patient, asked about at a date. Out: the patient's risks, timeline and values."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from residency.contract.errors import ResidencyError
from residency.contract.questions import Answer, Risk
from residency.workspace import charts, words
from residency.workspace.attached import attached_card
from residency.workspace.client import Allowed, Api, Attachment, Event, Listed, Standing
from residency.workspace.opened import Opener

_N_TIMES: Final = 12
_N_LABS: Final = 6


class Chart:
    """The right-hand side of the page: one patient at a time.

    Attributes:
        patient: who is shown; None before the first.
        as_of: only what was available by then is used.
    """

    def __init__(self, api: Api, standing: Standing) -> None:
        self._api, self._standing = api, standing
        self.patient: Listed | None = None
        self._events: tuple[Event, ...] = ()
        self._answers: tuple[Answer, ...] = ()
        self._whole: Answer | None = None
        self._attachments: tuple[Attachment, ...] = ()
        self._asked = "all"
        self._shown: list[str] = []
        self._fault = ""
        self.as_of = datetime(1970, 1, 1)  # noqa: DTZ001 - the records' wall clock is naive
        self._main: Any = None

    def build(self) -> None:
        """Make room on the page."""
        from nicegui import ui

        self._main = ui.element("div").classes("r-main")

    async def open(self, patient: Listed) -> None:
        """Show a patient, as of the newest record."""
        self.patient, self._attachments, self._asked, self._whole = patient, (), "all", None
        try:
            self._events = await self._api.events(patient.subject_id)
        except ResidencyError as error:
            self._events, self._fault = (), error.what
        self.as_of = patient.latest or self.as_of
        await self._ask()

    async def move(self, to: date) -> None:
        """Ask again, as of the end of another day."""
        self.as_of = min(datetime.combine(to, time(23, 59, 59)), self._last)
        self._whole = None
        await self._ask()

    @property
    def _first(self) -> datetime:
        known = [e.available or e.time for e in self._events if e.time and charts.group_of(e.code)]
        return min((at for at in known if at is not None), default=self._last)

    @property
    def _last(self) -> datetime:
        assert self.patient is not None  # noqa: S101 - only a shown patient is asked about
        return self.patient.latest or self.as_of

    def _times(self) -> list[datetime]:
        """Give the times of the trajectory; the last is the one asked about."""
        begin = max(self._first, self.as_of - timedelta(days=5 * 365.25))
        step = (self.as_of - begin) / (_N_TIMES - 1)
        if step < timedelta(minutes=1):
            return [self.as_of]
        return [begin + n * step for n in range(1, _N_TIMES - 1)] + [self.as_of]

    async def _ask(self) -> None:
        assert self.patient is not None  # noqa: S101 - only a shown patient is asked about
        subject_id = self.patient.subject_id
        try:
            self._attachments = await self._api.attachments(subject_id, self.as_of)
            used = words.MODALITIES.get(self._asked)
            self._answers = await self._api.trajectory(subject_id, self._times(), used)
            self._whole = self._answers[-1] if used is None else self._whole
            self._fault = ""
        except ResidencyError as error:
            self._answers, self._fault = (), error.what
        self._draw()

    def _draw(self) -> None:
        from nicegui import ui

        self._main.clear()
        with self._main:
            self._strip()
            self._time_bar()
            if self._fault:
                ui.label(f"No answer: {self._fault}.").classes("r-note")
            elif self._answers:
                self._risks(self._answers[-1])
            with ui.element("div").classes("r-card"):
                ui.label("Timeline").classes("r-title")
                drawn = charts.timeline(self._events, self.as_of, self._attachments)
                n_lanes = len(drawn["yAxis"]["data"])
                ui.echart(drawn, on_point_click=self._clicked).style(f"height: {70 + 32 * n_lanes}px")
            if self._attachments:
                attached_card(self._attachments, self._open)
            self._labs()

    async def _clicked(self, click: Any) -> None:
        """Open the note, image or genome whose point was clicked."""
        data = click.data if isinstance(click.data, dict) else {}
        found = [one for one in self._attachments if [one.kind, one.number] == data.get("key")]
        if found:
            await self._open(found[0])

    async def _open(self, item: Attachment) -> None:
        assert self.patient is not None  # noqa: S101 - only a shown patient has something to open
        await Opener(self._api, self.patient, self.as_of).open(item)

    def _strip(self) -> None:
        from nicegui import ui

        patient = self.patient
        assert patient is not None  # noqa: S101 - only a shown patient is drawn
        with ui.element("div").classes("r-card r-strip"):
            ui.label(f"Patient {patient.reference}").classes("r-id")
            ui.label(f"born {words.born(patient)}").classes("r-id")
            about = [words.age(patient, self.as_of), patient.sex or "sex not known", f"site {patient.site}"]
            ui.label(", ".join(part for part in about if part)).classes("r-muted")
            if patient.died:
                ui.label("A death is on record.").classes("r-warn")

    def _time_bar(self) -> None:
        from nicegui import ui

        first, last = self._first.date(), self._last.date()
        with ui.element("div").classes("r-card"):
            with ui.element("div").classes("r-asof"):
                ui.label("As of").classes("r-title")
                slider = ui.slider(
                    min=0, max=max((last - first).days, 1), value=(self.as_of.date() - first).days
                )
                field = ui.input(value=self.as_of.date().isoformat()).props(
                    f'type=date dense outlined min="{first}" max="{last}"'
                )
                ui.button("Newest", on_click=lambda: self.move(last)).props("flat no-caps dense")
            if self._answers:
                answer = self._answers[-1]
                ui.label(f"{words.freshness(answer)} {words.used(answer)}").classes("r-muted")
            if self._attachments:
                self._switch()

        async def slid() -> None:
            await self.move(first + timedelta(days=int(slider.value)))

        async def typed() -> None:
            chosen = _date(field.value)
            if chosen is not None and chosen != self.as_of.date():
                await self.move(max(first, min(chosen, last)))

        slider.on("change", slid)
        slider.on_value_change(
            lambda: field.set_value((first + timedelta(days=int(slider.value))).isoformat())
        )
        field.on("change", typed)

    def _switch(self) -> None:
        """Ask again with fewer kinds of records: how much does the answer rest on them?"""
        from nicegui import ui

        async def chosen() -> None:
            self._asked = str(switch.value)
            await self._ask()

        with ui.element("div").classes("r-switch"):
            ui.label("Ask from").classes("r-muted")
            switch = ui.toggle(words.ASKED, value=self._asked, on_change=chosen)
            switch.props(
                "no-caps unelevated dense padding='3px 10px' toggle-color=primary color=white text-color=primary"
            )

    def _risks(self, answer: Answer) -> None:
        from nicegui import ui

        if self._asked != "all":
            ui.label(f"Asked from less than is on record: {words.ASKED[self._asked].lower()}.").classes(
                "r-note"
            )
        everyone = [one for one in answer.abstentions if one.outcome is None]
        for one in everyone:
            ui.label(f"No figures: {self._standing.why_not.get(one.reason, one.reason)}.").classes("r-note")
        with ui.element("div").classes("r-grid"):
            for items in by_outcome(self._standing.allow_list.allowed):
                self._risk_card(items, answer)

    def _risk_card(self, items: Sequence[Allowed], answer: Answer) -> None:
        from nicegui import ui

        names = [item.examined.outcome.name for item in items]
        risks = sorted((r for r in answer.risks if r.outcome in names), key=lambda r: r.horizon_days)
        with ui.element("div").classes("r-card r-risk" if risks else "r-card r-risk r-none"):
            ui.label(words.name(names[0])).classes("r-what")
            if not risks:
                ui.label(self._why_not(names, answer)).classes("r-muted q-mt-sm")
                return
            self._figures(risks)
            options = (
                charts.horizons(risks)
                if len(risks) > 1
                else charts.trajectory(self._answers, risks[0].outcome, risks[0].horizon_days, self.as_of)
            )
            ui.echart(options).style("height: 140px")
            ui.label("by horizon, 90% band" if len(risks) > 1 else "how it moved, 90% band").classes(
                "r-muted"
            )
            for warning in self._warnings(names, answer):
                ui.label(warning).classes("r-warn")

    def _figures(self, risks: Sequence[Risk]) -> None:
        from nicegui import ui

        for risk in risks:
            with ui.row().classes("items-baseline gap-2"):
                ui.label(words.percent(risk.probability)).classes("r-figure")
                band = risk.interval
                between = f"; {words.percent(band.low)} to {words.percent(band.high)}" if band else ""
                ui.label(f"within {words.horizon(risk.horizon_days)}{between}").classes("r-muted")
            whole = charts.risk_of(self._whole, risk.outcome, risk.horizon_days) if self._whole else None
            if self._asked != "all" and whole is not None:
                ui.label(f"from all records: {words.percent(whole.probability)}").classes("r-warn")

    def _why_not(self, names: Sequence[str], answer: Answer) -> str:
        reasons = [one.reason for one in answer.abstentions if one.outcome in names or one.outcome is None]
        said = [self._standing.why_not.get(reason, reason) for reason in dict.fromkeys(reasons)]
        return f"No figure: {'; '.join(said)}." if said else "No figure."

    def _warnings(self, names: Sequence[str], answer: Answer) -> list[str]:
        """Say what to know beside a figure that is given."""
        prefixes = tuple(f"{name}: " for name in names)
        said = [one.text for one in answer.statements if one.tag == "warning"]
        found = [text for text in said if text.startswith(prefixes)]
        return [text.partition(": ")[2].capitalize() for text in found]

    def _labs(self) -> None:
        from nicegui import ui

        found = dict(charts.measured(self._events))
        if not found:
            return
        names = {code: events[0].description or code for code, events in found.items()}
        self._shown = [code for code in self._shown if code in found] or list(found)[:_N_LABS]
        with ui.element("div").classes("r-card"):
            ui.label("Values").classes("r-title")
            choice = ui.select(names, multiple=True, value=self._shown).props("dense outlined use-chips")
            grid = ui.element("div").classes("r-grid q-mt-md")

        def draw() -> None:
            self._shown = list(choice.value or [])
            grid.clear()
            with grid:
                for code in self._shown:
                    self._values(found[code])

        choice.classes("w-full q-mt-sm").on_value_change(draw)
        draw()

    def _values(self, events: Sequence[Event]) -> None:
        from nicegui import ui

        unit = f", {events[0].unit}" if events[0].unit else ""
        with ui.element("div"):
            ui.label(f"{events[0].description or events[0].code}{unit}").classes("r-muted")
            ui.echart(charts.values(events, self.as_of)).style("height: 130px")


def by_outcome(allowed: Sequence[Allowed]) -> list[list[Allowed]]:
    """Put tasks that ask for the same outcome at several horizons together."""
    found: defaultdict[tuple[object, ...], list[Allowed]] = defaultdict(list)
    for item in allowed:
        outcome = item.examined.outcome
        found[outcome.codes, outcome.label, outcome.above, outcome.below].append(item)
    return [sorted(items, key=lambda item: item.examined.horizons_days) for items in found.values()]


def _date(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        return None
