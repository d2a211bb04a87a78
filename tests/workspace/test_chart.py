"""The chart: what comes back late is never shown on another patient's page."""

import asyncio
from datetime import datetime
from typing import Any

from residency.contract.questions import Answer, Freshness
from residency.workspace.chart import Chart
from residency.workspace.client import AllowList, Api, Attachment, Card, Event, Listed, Standing
from residency.workspace.risks import RiskCards

AT = datetime(2024, 3, 1)  # noqa: DTZ001 - wall clock


def listed(subject_id: str) -> Listed:
    return Listed(
        subject_id=subject_id, reference=subject_id, born="1950-01-01", sex=None, site="main", died=False,
        events=1, latest=AT,
    )  # fmt: skip


class SlowApi(Api):
    """Answers about a patient when that patient's gate is opened."""

    def __init__(self, *, answers_about: str | None = None) -> None:
        super().__init__("http://nowhere", "")
        self.gates = {name: asyncio.Event() for name in ("1", "2")}
        self._about = answers_about
        self.asked: list[tuple[str, Any]] = []

    async def events(self, subject_id: str) -> tuple[Event, ...]:
        return ()

    async def attachments(self, subject_id: str, as_of: datetime) -> tuple[Attachment, ...]:
        return ()

    async def trajectory(self, subject_id: str, times: Any, modalities: Any = None) -> tuple[Answer, ...]:
        self.asked.append((subject_id, modalities))
        await self.gates[subject_id].wait()
        fresh = Freshness(latest=None, age_days=None)
        about = self._about or subject_id
        return (Answer(kind="forecast", subject=about, as_of=AT, release="", freshness=fresh),)


class Quiet(Chart):
    """A chart that draws nothing, and keeps what it would have drawn."""

    def __init__(self, api: Api) -> None:
        card = Card(
            name="", notice="", institution="", simulated=None, figures=(), stated={}, to_be_stated={}
        )
        standing = Standing(
            release="", name="", state="", demo=True, banner="", panel=True, newest_record=None, why_not={},
            allow_list=AllowList(allowed=()), card=card,
        )  # fmt: skip
        super().__init__(api, standing)
        self.drawn: list[tuple[str, str]] = []
        self.said: list[str] = []

    def _clear(self) -> None: ...

    def _draw(self) -> None: ...

    def _say(self, text: str, look: str) -> None:
        self.said.append(text)

    def _answered(self, cards: RiskCards) -> None:
        assert self.patient is not None
        self.drawn.append((self.patient.subject_id, cards.answers[-1].subject))


def test_an_answer_that_comes_late_is_not_drawn_on_the_next_patients_page() -> None:
    async def play() -> Quiet:
        api = SlowApi()
        chart = Quiet(api)
        first = asyncio.create_task(chart.open(listed("1")))
        await asyncio.sleep(0)
        second = asyncio.create_task(chart.open(listed("2")))
        api.gates["2"].set()
        await second
        api.gates["1"].set()
        await first
        return chart

    assert asyncio.run(play()).drawn == [("2", "2")]


def test_an_answer_about_somebody_else_is_not_drawn() -> None:
    async def play() -> Quiet:
        api = SlowApi(answers_about="2")
        chart = Quiet(api)
        api.gates["1"].set()
        await chart.open(listed("1"))
        return chart

    chart = asyncio.run(play())
    assert chart.drawn == []
    assert chart.said[-1] == "No answer: it was about another patient."
