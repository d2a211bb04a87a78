"""In: verdicts, and what was examined. Out: tasks, horizons and populations a release may answer for."""

from pathlib import Path
from typing import Final

import msgspec

from residency.contract.errors import SignatureError
from residency.contract.questions import Occurrence, Outcome
from residency.contract.report import Metric
from residency.release.gates import ALL, Result, Verdict

ALLOW_LIST: Final = "allow_list.json"


class ExaminedTask(msgspec.Struct, frozen=True, kw_only=True):
    """What one task asked of the model.

    Attributes:
        task: its name in the report.
        outcome: what was forecast.
        horizons_days: how far ahead.
        occurrence: first ever, again, or the next one.
        who: of which patients, in words.
    """

    task: str
    outcome: Outcome
    horizons_days: tuple[float, ...]
    occurrence: Occurrence = "any"
    who: str = ""


class Allowed(msgspec.Struct, frozen=True, kw_only=True):
    """One task that was examined and passed, and how each population of it fared.

    Attributes:
        examined: the task.
        populations: verdict for each slice that a gate looked at: pass, fail, or insufficient.
    """

    examined: ExaminedTask
    populations: dict[str, Result]

    def populations_that(self, result: Result) -> tuple[str, ...]:
        """Names of the populations with this verdict."""
        return tuple(sorted(name for name, found in self.populations.items() if found == result))


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """One task that is off, and why."""

    task: str
    reasons: tuple[str, ...]


class AllowList(msgspec.Struct, frozen=True, kw_only=True):
    """All that a release may answer for, and all that it was refused."""

    allowed: tuple[Allowed, ...]
    refused: tuple[Refused, ...] = ()
    version: int = 1

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the allowed tasks."""
        return tuple(item.examined.task for item in self.allowed)


def allow_list_of(examined: tuple[ExaminedTask, ...], verdicts: tuple[Verdict, ...]) -> AllowList:
    """Allow each task for which every gate on tasks passed; name the rest, with the gates that did not."""
    allowed, refused = [], []
    for item in examined:
        mine = [verdict for verdict in verdicts if verdict.task == item.task]
        on_task = [verdict for verdict in mine if verdict.decides == "task"]
        against = tuple(_reason(verdict) for verdict in on_task if verdict.result != "pass")
        if not on_task:
            against = ("no gate of the policy is for this task",)
        if against:
            refused.append(Refused(task=item.task, reasons=against))
        else:
            allowed.append(Allowed(examined=item, populations=_populations(mine)))
    return AllowList(allowed=tuple(allowed), refused=tuple(refused))


def _populations(verdicts: list[Verdict]) -> dict[str, Result]:
    """Give each population its worst verdict."""
    worst: dict[str, Result] = {ALL: "pass"}
    order: tuple[Result, ...] = ("pass", "insufficient", "fail")
    for verdict in verdicts:
        if verdict.decides == "population" and verdict.slice != ALL:
            worst[verdict.slice] = max(worst.get(verdict.slice, "pass"), verdict.result, key=order.index)
    return dict(sorted(worst.items()))


def _reason(verdict: Verdict) -> str:
    if verdict.reason:
        return f"{verdict.gate}: {verdict.result}: {verdict.reason}"
    return f"{verdict.gate}: {verdict.result}: {verdict.rule}: measured {said(verdict.measured)}"


def said(metric: Metric | None) -> str:
    """Say a measured figure with its interval.

    Example:
        >>> said(Metric(0.8, 0.75, 0.85)), said(Metric(0.8, None, None)), said(None)
        ('0.800 (0.750 to 0.850)', '0.800', '–')
    """
    if metric is None or metric.value is None:
        return "–"
    if metric.low is None or metric.high is None:
        return f"{metric.value:.3f}"
    return f"{metric.value:.3f} ({metric.low:.3f} to {metric.high:.3f})"


def read_allow_list(content: Path) -> AllowList:
    """Read a bundle's allow list.

    Raises:
        SignatureError: it is absent or not of this form.
    """
    try:
        return msgspec.json.decode((content / ALLOW_LIST).read_bytes(), type=AllowList)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError):
        raise SignatureError("the bundle's allow list cannot be read", where=ALLOW_LIST) from None
