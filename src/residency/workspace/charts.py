"""In: events and answers. Out: what ECharts draws: curves with bands, a timeline, values."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from residency.contract.questions import Answer, Risk
from residency.workspace.client import Attachment, Event

INK: Final = "#1d2733"
MUTED: Final = "#5d6b7a"
LINE: Final = "#dbe1e8"
ACCENT: Final = "#274c77"
BAND: Final = "rgba(39, 76, 119, 0.16)"
MARK: Final = "#b4541a"
LATER: Final = "#c3cad3"
_FONT: Final = {"fontFamily": "inherit", "color": MUTED, "fontSize": 11}

GROUPS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("Visits", ("VISIT", "VISIT_END")),
    ("Diagnoses", ("ICD10CM", "ICD10", "ICD9CM", "SNOMED")),
    ("Drugs", ("RXNORM", "NDC", "ATC", "CVX")),
    ("Procedures", ("ICD10PCS", "CPT", "HCPCS")),
    ("Labs, vitals", ("LOINC", "LAB", "VITAL")),
)
_OTHER: Final = "Other"
LANES: Final = {"note": "Notes", "image": "Images", "genome": "Genome"}
_COLOURS: Final = ("#6b7a90", "#8a3b12", "#4f5d95", "#7a5195", "#274c77", "#8d99a6")


def group_of(code: str) -> str | None:
    """Name the row of the timeline that a code belongs to; None for what has no time of its own.

    Example:
        >>> [group_of(code) for code in ("LOINC/2160-0", "ICD10CM/E11.9", "MEDS_BIRTH", "LOCAL/x")]
        ['Labs, vitals', 'Diagnoses', None, 'Other']
    """
    system = code.partition("/")[0]
    if system in ("MEDS_BIRTH", "DEMOGRAPHIC"):
        return None
    return next((name for name, systems in GROUPS if system in systems), _OTHER)


def _iso(time: datetime) -> str:
    return time.isoformat(timespec="seconds")


def _as_of_line(as_of: datetime) -> dict[str, Any]:
    return {
        "silent": True,
        "symbol": "none",
        "label": {"show": False},
        "lineStyle": {"color": MARK, "type": "solid", "width": 1.5},
        "data": [{"xAxis": _iso(as_of)}],
    }


def _tooltip() -> dict[str, Any]:
    """Drawn on the canvas: what a record says can then hold no markup."""
    return {
        "renderMode": "richText",
        "backgroundColor": "#ffffff",
        "borderColor": LINE,
        "textStyle": {**_FONT, "color": INK},
    }


def timeline(
    events: Sequence[Event], as_of: datetime, attachments: Sequence[Attachment] = ()
) -> dict[str, Any]:
    """Draw a patient's records by kind over time.

    Events that came after `as_of` are grey; notes, images and genomes that did are not there at all.
    """
    names = [name for name, _ in GROUPS] + [_OTHER]
    rows: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        group = group_of(event.code)
        if group is not None and event.time is not None:
            rows[group].append(_point(event, group, as_of))
    shown = [name for name in names if name in rows]
    lanes = _lanes(attachments, as_of)
    return {
        "animation": False,
        "grid": {"left": 96, "right": 24, "top": 12, "bottom": 28},
        "tooltip": {**_tooltip(), "trigger": "item"},
        "xAxis": {
            "type": "time",
            "axisLabel": _FONT,
            "axisLine": {"lineStyle": {"color": LINE}},
            "splitLine": {"show": False},
        },
        "yAxis": {
            "type": "category",
            "data": [*shown, *(lane["name"] for lane in lanes)][::-1],
            "axisLabel": {**_FONT, "fontSize": 12, "color": INK},
            "axisTick": {"show": False},
            "axisLine": {"show": False},
            "splitLine": {"show": True, "lineStyle": {"color": LINE}},
        },
        "series": [
            {
                "type": "scatter",
                "name": name,
                "symbolSize": 9,
                "itemStyle": {"color": _COLOURS[names.index(name)], "opacity": 0.75},
                "data": rows[name],
                **({"markLine": _as_of_line(as_of)} if number == 0 else {}),
            }
            for number, name in enumerate(shown)
        ]
        + lanes,
    }


def _lanes(attachments: Sequence[Attachment], as_of: datetime) -> list[dict[str, Any]]:
    """Give a series for each kind of attachment; a click on a point opens it."""
    found = []
    for kind, name in LANES.items():
        mine = [one for one in attachments if one.kind == kind and (one.available or as_of) <= as_of]
        points = [
            {"value": [_iso(at), name], "name": one.title, "key": [kind, one.number]}
            for one in mine
            if (at := one.time or one.available) is not None
        ]
        if points:
            look = {"symbol": "diamond", "symbolSize": 13, "cursor": "pointer"}
            style = {"color": ACCENT, "borderColor": "#ffffff", "borderWidth": 1}
            found.append({"type": "scatter", "name": name, **look, "itemStyle": style, "data": points})
    return found


def _point(event: Event, group: str, as_of: datetime) -> dict[str, Any]:
    assert event.time is not None  # noqa: S101 - the caller left those out
    known = event.available or event.time
    point: dict[str, Any] = {"value": [_iso(event.time), group], "name": said(event)}
    if known > as_of:
        point["itemStyle"] = {"color": LATER, "opacity": 0.6}
    return point


def said(event: Event) -> str:
    """Say an event in one line."""
    what = event.description or event.code
    value = "" if event.value is None else f": {event.value:g} {event.unit or ''}".rstrip()
    return f"{what}{value}"


def measured(events: Sequence[Event]) -> list[tuple[str, list[Event]]]:
    """Give the codes with values, the most often measured first, each with its events in order."""
    by_code: defaultdict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event.value is not None and event.time is not None and group_of(event.code) == "Labs, vitals":
            by_code[event.code].append(event)
    return sorted(by_code.items(), key=lambda item: (-len(item[1]), item[0]))


def values(events: Sequence[Event], as_of: datetime) -> dict[str, Any]:
    """Draw one code's values over time, in its unit."""
    before = [[_iso(e.time), e.value] for e in events if e.time and (e.available or e.time) <= as_of]
    after = [[_iso(e.time), e.value] for e in events if e.time and (e.available or e.time) > as_of]
    return {
        "animation": False,
        "grid": {"left": 44, "right": 12, "top": 10, "bottom": 24},
        "tooltip": {**_tooltip(), "trigger": "axis"},
        "xAxis": {
            "type": "time",
            "splitNumber": 3,
            "axisLabel": {**_FONT, "hideOverlap": True},
            "axisLine": {"lineStyle": {"color": LINE}},
        },
        "yAxis": {
            "type": "value",
            "scale": True,
            "splitNumber": 3,
            "axisLabel": _FONT,
            "splitLine": {"lineStyle": {"color": LINE}},
        },
        "series": [
            {
                "type": "line",
                "name": events[0].unit or "value",
                "data": before,
                "symbolSize": 4,
                "lineStyle": {"color": ACCENT, "width": 1.5},
                "itemStyle": {"color": ACCENT},
                "markLine": _as_of_line(as_of),
            },
            {
                "type": "line",
                "name": "after",
                "data": after,
                "symbolSize": 4,
                "lineStyle": {"color": LATER, "width": 1, "type": "dashed"},
                "itemStyle": {"color": LATER},
            },
        ],
    }


def risk_of(answer: Answer, outcome: str, horizon_days: float) -> Risk | None:
    """Find one risk of an answer; None where it was not answered."""
    return next((r for r in answer.risks if r.outcome == outcome and r.horizon_days == horizon_days), None)


def trajectory(
    answers: Sequence[Answer], outcome: str, horizon_days: float, as_of: datetime
) -> dict[str, Any]:
    """Draw how one risk moved over the times asked about, with its 90% band."""
    points = [(a.as_of, risk_of(a, outcome, horizon_days)) for a in answers]
    known = [(time, risk) for time, risk in points if risk is not None]
    return _curve([(_iso(time), risk) for time, risk in known], kind="time", mark=_as_of_line(as_of))


def horizons(risks: Sequence[Risk]) -> dict[str, Any]:
    """Draw one outcome's risk over horizons, from none at once, with its 90% band."""
    ordered = sorted(risks, key=lambda risk: risk.horizon_days)
    unit, days = unit_of(ordered[-1].horizon_days)
    none = Risk(outcome=ordered[0].outcome, horizon_days=days, probability=0.0)
    points: list[tuple[str | float, Risk]] = [(0.0, none)]
    points += [(round(risk.horizon_days / days, 3), risk) for risk in ordered]
    options = _curve(points, kind="value", mark=None)
    options["xAxis"]["axisLabel"] = {**_FONT, "formatter": f"{{value}} {unit}"}
    return options


def unit_of(horizon_days: float) -> tuple[str, float]:
    """Give the unit that a horizon is shown in, and its days.

    Example:
        >>> unit_of(1826.25), unit_of(90.0), unit_of(0.25)
        (('y', 365.25), ('d', 1.0), ('h', 0.041666666666666664))
    """
    if horizon_days >= 365:
        return "y", 365.25
    return ("d", 1.0) if horizon_days >= 2 else ("h", 1 / 24)


def _curve(
    points: Sequence[tuple[str | float, Risk]], *, kind: str, mark: dict[str, Any] | None
) -> dict[str, Any]:
    low = [[x, 100 * (r.interval.low if r.interval else r.probability)] for x, r in points]
    width = [[x, 100 * ((r.interval.high - r.interval.low) if r.interval else 0.0)] for x, r in points]
    bare = {"type": "line", "stack": "band", "symbol": "none", "lineStyle": {"opacity": 0}, "silent": True}
    line = {
        "type": "line",
        "name": "risk, %",
        "data": [[x, round(100 * r.probability, 2)] for x, r in points],
        "symbolSize": 5,
        "lineStyle": {"color": ACCENT, "width": 2},
        "itemStyle": {"color": ACCENT},
    }
    return {
        "animation": False,
        "grid": {"left": 44, "right": 14, "top": 10, "bottom": 24},
        "tooltip": {**_tooltip(), "trigger": "axis"},
        "xAxis": {
            "type": kind,
            "splitNumber": 3,
            "axisLabel": {**_FONT, "hideOverlap": True},
            "axisLine": {"lineStyle": {"color": LINE}},
            "splitLine": {"show": False},
        },
        "yAxis": {
            "type": "value",
            "min": 0,
            "splitNumber": 3,
            "axisLabel": {**_FONT, "formatter": "{value}%"},
            "splitLine": {"lineStyle": {"color": LINE}},
        },
        "series": [
            {**bare, "name": "90% from", "data": low},
            {**bare, "name": "90% width", "data": width, "areaStyle": {"color": BAND, "opacity": 1}},
            {**line, **({"markLine": mark} if mark else {})},
        ],
    }
