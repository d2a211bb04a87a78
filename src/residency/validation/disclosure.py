"""In: timelines, an index time, what may be sent. Out: the least that a model elsewhere must see.

No identifier, no date, no text: age, sex where it is coded, and codes with values, each with the days before
the index time. What a request holds can be made again from the timelines, so its digest proves what was sent.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
import numpy as np

from residency.contract.packed import DAY, STATIC, Packed
from residency.timeline import Vocabulary
from residency.validation.endpoint_spec import EndpointSpec
from residency.validation.tasks import Task

BIRTH: Final = "MEDS_BIRTH"
_YEAR: Final = 365.25
_NOW: Final = datetime(2020, 1, 1)  # noqa: DTZ001 - every index time is sent as this one
FIELDS: Final = ("age in years", "code", "name of the code", "value", "unit", "days before")


@dataclass(frozen=True)
class Record:
    """One event, as it is sent."""

    code: str
    name: str
    value: float | None
    unit: str | None
    days_before: float | None


@dataclass(frozen=True)
class Chart:
    """What is sent of one patient at one index time.

    Attributes:
        age_years: None where the birth is not known.
        records: newest last; those without a time first.
        held_back: records known at the index time that are not sent.
    """

    age_years: float | None
    records: tuple[Record, ...]
    held_back: int


def chart_of(packed: Packed, vocabulary: Vocabulary, patient: int, as_of: int, spec: EndpointSpec) -> Chart:
    """Take what was known at an index time and may be sent."""
    moments = packed.moments_of(patient)
    known = int(np.searchsorted(packed.moment_time[moments], as_of, "right")) + moments.start
    events = range(int(packed.event_offset[moments.start]), int(packed.event_offset[known]))
    all_known = [_record(packed, vocabulary, event, as_of) for event in events]
    births = [one.days_before for one in all_known if one.code == BIRTH and one.days_before is not None]
    told = [one for one in all_known if one.code != BIRTH]
    may = [one for one in told if _may(one, spec)]
    static = [one for one in may if one.days_before is None]
    dated = [one for one in may if one.days_before is not None][-spec.most_events :]
    age = round(births[0] / _YEAR, 1) if births else None
    return Chart(age, (*static, *dated), len(told) - len(static) - len(dated))


def _record(packed: Packed, vocabulary: Vocabulary, event: int, as_of: int) -> Record:
    code, value = int(packed.event_code[event]), float(packed.event_value[event])
    when = int(packed.event_time[event])
    return Record(
        code=vocabulary.codes[code],
        name=vocabulary.descriptions[code],
        value=None if np.isnan(value) else float(f"{value:.6g}"),
        unit=None if np.isnan(value) else vocabulary.units[code],
        days_before=None if when == STATIC else round((as_of - when) / DAY, 3),
    )


def _may(one: Record, spec: EndpointSpec) -> bool:
    wanted = not spec.codes or one.code.startswith(spec.codes)
    recent = one.days_before is None or one.days_before <= spec.window_days
    return (
        wanted
        and recent
        and one.code != "UNKNOWN"
        and not (spec.leave_out and one.code.startswith(spec.leave_out))
    )


def body_of(chart: Chart, task: Task, spec: EndpointSpec, request: str) -> bytes:
    """Make a request.

    Args:
        chart: what is sent.
        task: what is asked.
        spec: of the service.
        request: a number that the answer may repeat; it says nothing of the patient.
    """
    make = {"score": _for_score, "openai": _for_chat, "residency": _for_release}[spec.spoken]
    return msgspec.json.encode({**make(chart, task, spec, request), **spec.extra})


def _for_score(chart: Chart, task: Task, spec: EndpointSpec, request: str) -> dict[str, Any]:
    return {
        "request": request,
        "task": {"name": task.name, "title": task.title, "horizon_days": task.horizon_days},
        "age_years": chart.age_years,
        "records": [
            {"code": one.code, "value": one.value, "unit": one.unit, "days_before": one.days_before}
            for one in chart.records
        ],
    }


def _for_chat(chart: Chart, task: Task, spec: EndpointSpec, request: str) -> dict[str, Any]:
    lines = [_line(one) for one in chart.records]
    age = "not known" if chart.age_years is None else f"{chart.age_years:g} years"
    outcome = ", ".join(getattr(task.outcome, "codes", (task.title,)))
    asked = f"{task.title}. Outcome: {outcome}, within {task.horizon_days:g} days."
    text = f"Age: {age}\nRecords (days before now: code, name, value):\n" + "\n".join(lines) + f"\n\n{asked}"
    system = (
        "You estimate the probability of a clinical outcome from a patient's coded records. Answer with JSON"
        ' only: {"probability": p} with p between 0 and 1. If you cannot, answer {"probability": null}.'
    )
    return {
        "model": spec.model,
        "temperature": 0,
        "messages": [{"role": "system", "content": system}, {"role": "user", "content": text}],
    }


def _line(one: Record) -> str:
    when = "always" if one.days_before is None else f"{one.days_before:g}"
    value = "" if one.value is None else f", {one.value:g} {one.unit or ''}".rstrip()
    return f"{when}: {one.code}{f', {one.name}' if one.name else ''}{value}"


def _for_release(chart: Chart, task: Task, spec: EndpointSpec, request: str) -> dict[str, Any]:
    rows: list[dict[str, Any]] = [
        {
            "subject_id": 1,
            "code": one.code,
            "time": None if one.days_before is None else (_NOW - timedelta(days=one.days_before)).isoformat(),
            "numeric_value": one.value,
            "unit": one.unit,
        }
        for one in chart.records
    ]
    if chart.age_years is not None:
        birth = _NOW - timedelta(days=chart.age_years * _YEAR)
        rows.insert(0, {"subject_id": 1, "code": BIRTH, "time": birth.isoformat()})
    question = {"kind": "forecast", **msgspec.to_builtins(task.question)}
    return {"meds": rows, "as_of": _NOW.isoformat(), "question": question}
