"""In: a chart. Out: what is left open in it, each with the rule, its source and the records it rests on."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np
from jaxtyping import Int64

from residency.contract.packed import DAY
from residency.contract.questions import Citation, Statement
from residency.reasoning.chart import Chart, Document, Rows, day_of, number
from residency.reasoning.concepts import concepts
from residency.reasoning.rules import (
    FindingRule,
    MonitoringRule,
    PendingRule,
    RecallRule,
    ResultRule,
    ScreeningRule,
    compiled,
    rules,
)

OPEN_LOOP: Final = "open_loop"
_UNITS_DAYS: Final = {"day": 1, "week": 7, "month": 30}
_WORD: Final = re.compile(r"[a-zA-Z0-9-]{4,}")
_SAME_VISIT: Final = DAY  # a return is a visit on another day


@dataclass(frozen=True)
class Loop:
    """Something that is left open.

    Attributes:
        kind: of rule.
        rule: its name.
        text: one sentence.
        since: when it began, µs.
        citations: what it rests on.
        basis: who says that it is one.
    """

    kind: str
    rule: str
    text: str
    since: int
    citations: tuple[Citation, ...]
    basis: str

    @property
    def statement(self) -> Statement:
        """As part of an answer."""
        return Statement(
            text=self.text, citations=self.citations, tag=OPEN_LOOP, rule=self.rule, basis=self.basis
        )


def open_loops(chart: Chart) -> tuple[Loop, ...]:
    """Find what is left open, the latest first; nothing of a patient who died."""
    if chart.death is not None:
        return ()
    table = rules()
    found = chain(
        chain.from_iterable(_result(chart, rule) for rule in table.result),
        chain.from_iterable(_monitoring(chart, rule) for rule in table.monitoring),
        chain.from_iterable(_finding(chart, rule) for rule in table.finding),
        chain.from_iterable(_pending(chart, rule) for rule in table.pending),
        chain.from_iterable(_recall(chart, rule) for rule in table.recall),
        chain.from_iterable(_screening(chart, rule) for rule in table.screening),
    )
    return tuple(sorted(found, key=lambda loop: (loop.kind == "screening", -loop.since, loop.rule)))


def _result(chart: Chart, rule: ResultRule) -> Iterator[Loop]:
    """Look at the last value beyond the limit."""
    taken = chart.of(rule.of)
    value = chart.value[taken]
    beyond = np.zeros(len(taken), bool)
    if rule.above is not None:
        beyond |= value > rule.above
    if rule.below is not None:
        beyond |= value < rule.below
    if not beyond.any():
        return
    row = int(taken[beyond][-1])
    known = int(max(chart.available[row], chart.time[row]))
    if (_acts(chart, rule.acted) > known).any() or _days(known, chart.as_of) < rule.within_days:
        return
    code = chart.named(row)
    yield Loop(
        "unacted_result", rule.name,
        f"{_title(rule.of)} was {number(float(chart.value[row]))} {code.unit} on {chart.date(row)}; no"
        f" {_either(rule.acted)} is on record in the {_days(known, chart.as_of):.0f} days since.",
        int(chart.time[row]), chart.cite([row]), rule.basis,
    )  # fmt: skip


def _acts(chart: Chart, names: tuple[str, ...]) -> Int64[np.ndarray, " act"]:
    """Give when something was done; of a diagnosis when it was made: that it is coded again is no act."""
    kinds = concepts().kinds
    rows = [chart.of(name)[: 1 if kinds.get(name) == "condition" else None] for name in names]
    when: Int64[np.ndarray, " act"] = chart.time[np.concatenate(rows)]
    return when


def _monitoring(chart: Chart, rule: MonitoringRule) -> Iterator[Loop]:
    """Look at each drug's first order."""
    tests = chart.time[chart.of(*rule.tests)]
    for name in chain.from_iterable(concepts().members(one) for one in rule.drugs):
        orders = chart.of(name)
        if not len(orders):
            continue
        row = int(orders[0])
        start = int(chart.time[row])
        seen = _seen_between(chart, start, (rule.seen_after_days, rule.within_days))
        if (tests > start + DAY).any() or not len(seen) or _days(start, chart.as_of) < rule.within_days:
            continue
        yield Loop(
            "drug_without_monitoring", rule.name,
            f"{_title(name)} was started on {chart.date(row)}; no {_either(rule.tests)} is on record in the"
            f" {_days(start, chart.as_of):.0f} days since, though the patient was seen on"
            f" {chart.date(int(seen[0]))}.",
            start, chart.cite([row, int(seen[0])]), rule.basis,
        )  # fmt: skip


def _seen_between(chart: Chart, start: int, days: tuple[float, float]) -> Rows:
    """Give visits between so many and so many days after a time."""
    at = (chart.time[chart.visits] - start) / DAY
    seen: Rows = chart.visits[(at > days[0]) & (at < days[1])]
    return seen


def _finding(chart: Chart, rule: FindingRule) -> Iterator[Loop]:
    """Look at the first report with the finding that nothing followed; later ones restart no clock."""
    acts, known = _acts(chart, rule.acted), chart.time[chart.of(*rule.known)]
    for document in chart.documents:
        found = _found(document, rule)
        if found is None or (acts > document.time + DAY).any() or (known <= document.time).any():
            continue
        if _days(document.time, chart.as_of) >= rule.within_days:
            yield Loop(
                "finding_without_follow_up", rule.name,
                f"A report of {day_of(document.time)} tells of {rule.says}; no {_either(rule.acted)} is on"
                f" record in the {_days(document.time, chart.as_of):.0f} days since.",
                document.time, (document.cite(*found), *_study(chart, document)), rule.basis,
            )  # fmt: skip
        return


def _found(document: Document, rule: FindingRule) -> tuple[int, int] | None:
    """Give where a report tells of a finding."""
    if document.kind not in rule.kinds:
        return None
    match = compiled(rule.pattern).search(document.text)
    return None if match is None else match.span()


def _study(chart: Chart, document: Document) -> tuple[Citation, ...]:
    """Point at the images that a report is about: those of the same day."""
    rows = [
        int(row)
        for row in chart.of("chest_ct")
        if abs(int(chart.time[row]) - document.time) < DAY and chart.sources[row].startswith("ImagingStudy/")
    ]
    return chart.cite(rows)


def _pending(chart: Chart, rule: PendingRule) -> Iterator[Loop]:
    for document in chart.documents:
        if document.kind not in rule.kinds or _days(document.time, chart.as_of) < rule.within_days:
            continue
        for match in chain.from_iterable(compiled(one).finditer(document.text) for one in rule.patterns):
            if not _is_told_later(chart, document, match["test"]):
                yield Loop(
                    "pending_test", rule.name,
                    f"At the discharge of {day_of(document.time)} a test was pending"
                    f" ({match['test'].strip()}); no later document names its result.",
                    document.time, (document.cite(*match.span("test")),), rule.basis,
                )  # fmt: skip


def _is_told_later(chart: Chart, told: Document, test: str) -> bool:
    """Whether a later document names the test: most of its longer words."""
    words = {word.lower() for word in _WORD.findall(test)} - {"final", "report", "result"}
    later = (one.text.lower() for one in chart.documents if one.time > told.time + DAY)
    return bool(words) and any(all(word in text for word in words) for text in later)


def _recall(chart: Chart, rule: RecallRule) -> Iterator[Loop]:
    """Look at the last time that a return was asked for."""
    for document in reversed(chart.documents):
        match = next(filter(None, (compiled(one).search(document.text) for one in rule.patterns)), None)
        if match is None:
            continue
        parts = match.groupdict()
        asked = int(parts.get("n") or 1) * _UNITS_DAYS[parts["unit"].lower()]
        came = (chart.time[chart.visits] > document.time + _SAME_VISIT).any()
        if not came and _days(document.time, chart.as_of) >= asked + rule.grace_days:
            yield Loop(
                "lost_to_follow_up", rule.name,
                f"On {day_of(document.time)} a return within {asked} days was asked for; no visit is on"
                f" record in the {_days(document.time, chart.as_of):.0f} days since.",
                document.time, (document.cite(*match.span("said")),), rule.basis,
            )  # fmt: skip
        return


def _screening(chart: Chart, rule: ScreeningRule) -> Iterator[Loop]:
    """Look at who is due, among those who were seen here for as long as the test lasts."""
    having, never, done = (chart.of(*names) for names in (rule.having, rule.never, rule.tests))
    if (rule.having and not len(having)) or len(never) or not _is_meant(chart, rule):
        return
    begin = int(chart.time[having[0]]) if len(having) else (chart.first_seen or chart.as_of)
    last = int(chart.time[done[-1]]) if len(done) else begin
    recently = len(chart.visits) and _days(int(chart.time[chart.visits[-1]]), chart.as_of) < 400
    if _days(max(begin, last), chart.as_of) < rule.every_days or not recently:
        return
    said = f"the last on record is of {day_of(last)}" if len(done) else "none is on record here"
    rows = [int(row) for row in (*done[-1:], *having[:1])] or [int(chart.visits[-1])]
    yield Loop(
        "screening", rule.name,
        f"{_title(_either(rule.tests))} seems due: {said}.", last, chart.cite(rows), rule.basis,
    )  # fmt: skip


def _is_meant(chart: Chart, rule: ScreeningRule) -> bool:
    if rule.sex and chart.sex != rule.sex:
        return False
    return not rule.ages or (chart.age is not None and rule.ages[0] <= chart.age < rule.ages[1] + 1)


def _days(start: int, end: int) -> float:
    return (end - start) / DAY


def _title(name: str) -> str:
    said = concepts().says.get(name, name)
    return said[0].upper() + said[1:]


def _either(names: tuple[str, ...]) -> str:
    kinds, words = concepts().kinds, concepts().says
    says = [
        f"{'first diagnosis of ' * (kinds.get(one) == 'condition')}{words.get(one, one)}" for one in names
    ]
    return says[0] if len(says) == 1 else f"{', '.join(says[:-1])} or {says[-1]}"
