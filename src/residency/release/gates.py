"""In: a report and a policy's gates. Out: one verdict a gate, task and slice: pass, fail, or insufficient."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Literal

import msgspec

from residency.contract.report import Metric, Report, Slice
from residency.release.policy import Gate

Result = Literal["pass", "fail", "insufficient"]
ALL: str = "all"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one gate says of one slice of one task.

    Attributes:
        gate: name and version of the rule, as `name@version`.
        decides: what falls when it does not pass.
        task: the task; `*` where no task answers to the gate.
        slice: the slice of its patients.
        result: pass, fail, or insufficient: not enough data to know.
        rule: in words.
        measured: the figure with its interval; None where the report has none.
        events: in the slice.
        reason: why it cannot tell; empty otherwise.
    """

    gate: str
    decides: str
    task: str
    slice: str
    result: Result
    rule: str
    measured: Metric | None = None
    events: int = 0
    reason: str = ""


def judge(report: Report, gates: tuple[Gate, ...]) -> tuple[Verdict, ...]:
    """Hold every gate against every task and slice that it is for.

    A gate that finds nothing to look at is insufficient: an examination that was not held is not passed.
    """
    return tuple(verdict for gate in gates for verdict in _judge_gate(report, gate))


def _judge_gate(report: Report, gate: Gate) -> Iterator[Verdict]:
    found = False
    for task, slices in sorted(report.tasks.items()):
        if not fnmatchcase(task, gate.task):
            continue
        names = [name for name in sorted(slices) if fnmatchcase(name, gate.slice)]
        for name in names:
            found = True
            yield _judge_slice(gate, task, name, slices[name])
        if not names and gate.decides == "task":
            found = True
            yield _verdict(gate, task, gate.slice, "insufficient", reason="the report has no such slice")
    if not found and gate.decides == "release":
        yield _verdict(gate, "*", gate.slice, "insufficient", reason="the report has no such task or slice")


def _judge_slice(gate: Gate, task: str, name: str, measured: Slice) -> Verdict:
    figures: dict[str, Metric] = getattr(measured, gate.source) or {}
    metric = figures.get(gate.metric)
    value = getattr(metric, gate.bound) if metric is not None else None
    if measured.events < gate.min_events:
        reason = f"{measured.events} events, fewer than {gate.min_events}"
        return _verdict(
            gate, task, name, "insufficient", metric=metric, events=measured.events, reason=reason
        )
    if value is None:
        reason = f"{gate.source} {gate.metric} was not measured"
        return _verdict(
            gate, task, name, "insufficient", metric=metric, events=measured.events, reason=reason
        )
    holds = (gate.at_least is None or value >= gate.at_least) and (
        gate.at_most is None or value <= gate.at_most
    )
    return _verdict(gate, task, name, "pass" if holds else "fail", metric=metric, events=measured.events)


def _verdict(  # noqa: PLR0913 - the fields of one verdict
    gate: Gate,
    task: str,
    name: str,
    result: Result,
    *,
    metric: Metric | None = None,
    events: int = 0,
    reason: str = "",
) -> Verdict:
    return Verdict(
        gate=f"{gate.name}@{gate.version}",
        decides=gate.decides,
        task=task,
        slice=name,
        result=result,
        rule=gate.limits,
        measured=metric,
        events=events,
        reason=reason,
    )


def overall(verdicts: tuple[Verdict, ...]) -> Result:
    """Give what a gate on the release says as a whole.

    One failure fails it. It passes where something passed and nothing failed: a task with too few events to
    know is off the allow list anyway, and does not stop the others. Where nothing passed, it cannot tell.
    """
    results = {verdict.result for verdict in verdicts}
    if "fail" in results:
        return "fail"
    return "pass" if "pass" in results else "insufficient"
