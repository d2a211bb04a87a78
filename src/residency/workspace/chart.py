"""In: one patient, asked about at a date. Out: the patient's risks, timeline and values."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from residency.contract.errors import ResidencyError
from residency.contract.questions import Answer
from residency.workspace import charts, words
from residency.workspace.attached import attached_card
from residency.workspace.client import Api, Attachment, Event, Listed, Standing
from residency.workspace.moved import Evidence
from residency.workspace.opened import Opener
from residency.workspace.risks import RiskCards

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
        self._whole: Answer | None = None
        self._attachments: tuple[Attachment, ...] = ()
        self._asked = "all"
        self._shown: list[str] = []
        self._fault = ""
        self.as_of = datetime(1970, 1, 1)  # noqa: DTZ001 - the records' wall clock is naive
        self._turn = 0  # rises with all that is begun: what comes back late is of another page
        self._main: Any = None
        self._figures: Any = None
        self._resting: Any = None

    def build(self) -> None:
        """Make room on the page."""
        from nicegui import ui

        self._main = ui.element("div").classes("r-main")

    async def open(self, patient: Listed) -> None:
        """Show a patient, as of the newest record. Nothing of the patient before stays on the page."""
        self._turn += 1
        turn = self._turn
        self.patient, self._events, self._asked, self._fault = patient, (), "all", ""
        self.as_of = patient.latest or self.as_of
        self._clear()
        try:
            events = await self._api.events(patient.subject_id)
        except ResidencyError as error:
            events, self._fault = (), error.what
        if turn == self._turn:
            self._events = events
            await self._show()

    def _clear(self) -> None:
        from nicegui import ui

        self._main.clear()
        with self._main:
            self._strip()
            ui.label("Opening the records …").classes("r-muted")

    async def move(self, to: date) -> None:
        """Ask again, as of the end of another day."""
        self.as_of = min(datetime.combine(to, time(23, 59, 59)), self._last)
        await self._show()

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

    async def _show(self) -> None:
        """Draw what is on record, and then ask about it, which takes longer."""
        assert self.patient is not None  # noqa: S101 - only a shown patient is asked about
        self._turn += 1
        turn = self._turn
        self._attachments, self._whole = (), None
        try:
            found = await self._api.attachments(self.patient.subject_id, self.as_of)
        except ResidencyError as error:
            found, self._fault = (), error.what
        if turn == self._turn:
            self._attachments = found
            self._draw()
            await self._ask()

    async def _ask(self) -> None:
        """Ask, and draw the answer, unless the page has gone on to something else meanwhile."""
        assert self.patient is not None  # noqa: S101 - only a shown patient is asked about
        self._turn += 1
        turn, subject_id, asked = self._turn, self.patient.subject_id, self._asked
        fault = ""
        answers: tuple[Answer, ...] = ()
        self._say("Asking the model …", "r-muted")
        try:
            answers = await self._api.trajectory(subject_id, self._times(), words.MODALITIES.get(asked))
        except ResidencyError as error:
            fault = error.what
        if turn != self._turn:
            return
        if fault or any(answer.subject != subject_id for answer in answers):
            self._say(f"No answer: {fault or 'it was about another patient'}.", "r-note")
            return
        self._whole = answers[-1] if asked == "all" else self._whole
        evidence = Evidence(
            self._api,
            self.patient,
            self.as_of,
            words.MODALITIES.get(asked),
            self._events,
            self._attachments,
        )
        self._answered(RiskCards(self._standing, answers, asked, self._whole, evidence.show))

    def _answered(self, cards: RiskCards) -> None:
        last = cards.answers[-1]
        self._resting.set_text(f"{words.freshness(last)} {words.used(last)}")
        self._figures.clear()
        with self._figures:
            cards.draw()

    def _say(self, text: str, look: str) -> None:
        """Put a line where the figures go, in their place."""
        from nicegui import ui

        self._resting.set_text("")
        self._figures.clear()
        with self._figures:
            ui.label(text).classes(look)

    def _draw(self) -> None:
        from nicegui import ui

        self._main.clear()
        with self._main:
            self._strip()
            self._time_bar()
            self._figures = ui.element("div").classes("r-main")
            if self._fault:
                ui.label(f"Not all records can be shown: {self._fault}.").classes("r-note")
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
                    f'type=date dense outlined debounce=600 min="{first}" max="{last}"'
                )
                ui.button("Newest", on_click=lambda: self.move(last)).props("flat no-caps dense")
            self._resting = ui.label().classes("r-muted")
            if self._attachments:
                self._switch()

        async def slid() -> None:
            await self.move(first + timedelta(days=int(slider.value)))

        async def typed() -> None:
            chosen = _date(field.value)
            if chosen is not None and first <= chosen <= last and chosen != self.as_of.date():
                await self.move(chosen)

        def left() -> None:  # what stands there is the date asked about, or will be
            chosen = _date(field.value)
            if chosen is None or not first <= chosen <= last:
                field.set_value(self.as_of.date().isoformat())

        slider.on("change", slid)
        slider.on_value_change(
            lambda: field.set_value((first + timedelta(days=int(slider.value))).isoformat())
        )
        field.on("update:value", typed)  # by hand; setting its value, as the slider does, is none
        field.on("blur", left)

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
                "no-caps unelevated dense padding='3px 10px' toggle-color=primary"
                " color=white text-color=primary"
            )

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


def _date(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        return None
