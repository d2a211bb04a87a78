"""In: answers about one patient. Out: a card for each outcome: figures and curves, or why there are none."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from residency.contract.questions import Answer, Risk
from residency.workspace import charts, words
from residency.workspace.client import Allowed, Standing
from residency.workspace.moved import TITLE


@dataclass(frozen=True)
class RiskCards:
    """What was answered, and what it is set beside.

    Attributes:
        standing: of the release.
        answers: of the times of a trajectory; the last is the one asked about.
        asked: from which records: a key of `words.ASKED`.
        whole: the answer from all records at the same time; None where it has not been asked for.
        explain: shows what moved a figure; None where nobody can be asked.
    """

    standing: Standing
    answers: Sequence[Answer]
    asked: str = "all"
    whole: Answer | None = None
    explain: Callable[[Allowed], Awaitable[None]] | None = None

    def draw(self) -> None:
        """Draw the cards where the page is being written."""
        from nicegui import ui

        answer = self.answers[-1]
        if self.asked != "all":
            said = f"Asked from less than is on record: {words.ASKED[self.asked].lower()}."
            ui.label(f"{said} Such figures were not examined by themselves.").classes("r-note")
        everyone = [one for one in answer.abstentions if one.outcome is None]
        for one in everyone:
            ui.label(f"No figures: {self.standing.why_not.get(one.reason, one.reason)}.").classes("r-note")
        with ui.element("div").classes("r-grid"):
            for items in by_outcome(self.standing.allow_list.allowed):
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
                else charts.trajectory(self.answers, risks[0].outcome, risks[0].horizon_days, answer.as_of)
            )
            ui.echart(options).style("height: 140px")
            ui.label("by horizon, 90% band" if len(risks) > 1 else "how it moved, 90% band").classes(
                "r-muted"
            )
            self._explained(items[-1])
            for warning in self._warnings(names, answer):
                ui.label(warning).classes("r-warn")

    def _explained(self, item: Allowed) -> None:
        from nicegui import ui

        if (explain := self.explain) is None:
            return

        async def chosen() -> None:
            await explain(item)

        link = ui.label(TITLE).classes("r-link").on("click", chosen).on("keydown.enter", chosen)
        link.props("tabindex=0 role=button")

    def _figures(self, risks: Sequence[Risk]) -> None:
        from nicegui import ui

        for risk in risks:
            with ui.row().classes("items-baseline gap-2"):
                ui.label(words.percent(risk.probability)).classes("r-figure")
                band = risk.interval
                between = f"; {words.percent(band.low)} to {words.percent(band.high)}" if band else ""
                ui.label(f"within {words.horizon(risk.horizon_days)}{between}").classes("r-muted")
            whole = charts.risk_of(self.whole, risk.outcome, risk.horizon_days) if self.whole else None
            if self.asked != "all" and whole is not None:
                ui.label(f"From all records: {words.percent(whole.probability)}").classes("r-warn")

    def _why_not(self, names: Sequence[str], answer: Answer) -> str:
        reasons = [one.reason for one in answer.abstentions if one.outcome in names or one.outcome is None]
        said = [self.standing.why_not.get(reason, reason) for reason in dict.fromkeys(reasons)]
        return f"No figure: {'; '.join(said)}." if said else "No figure."

    def _warnings(self, names: Sequence[str], answer: Answer) -> list[str]:
        """Say what to know beside a figure that is given."""
        prefixes = tuple(f"{name}: " for name in names)
        said = [one.text for one in answer.statements if one.tag == "warning"]
        found = [text for text in said if text.startswith(prefixes)]
        return [text.partition(": ")[2].capitalize() for text in found]


def by_outcome(allowed: Sequence[Allowed]) -> list[list[Allowed]]:
    """Put tasks that ask for the same outcome at several horizons together."""
    found: defaultdict[tuple[object, ...], list[Allowed]] = defaultdict(list)
    for item in allowed:
        outcome = item.examined.outcome
        found[outcome.codes, outcome.label, outcome.above, outcome.below, outcome.before].append(item)
    return [sorted(items, key=lambda item: item.examined.horizons_days) for items in found.values()]
