"""Charts: what came after the date asked about is set apart; bands enclose curves; nothing is green."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from residency.contract.questions import Answer, Freshness, Interval, Outcome, Risk
from residency.workspace import charts
from residency.workspace.client import Allowed, Attachment, Event, Examined
from residency.workspace.risks import by_outcome

AT = datetime(2024, 3, 1)  # noqa: DTZ001 - wall clock
MARKUP = "<img src=x onerror=alert(1)>"


def event(
    code: str, days: float, *, late_days: float = 0.0, value: float | None = None, text: str | None = None
) -> Event:
    time = AT + timedelta(days=days)
    return Event(
        time=time,
        available=time + timedelta(days=late_days),
        code=code,
        description=text,
        value=value,
        unit="mg/dL" if value is not None else None,
        source="Observation/1",
    )


def answer(days: float, probability: float | None, horizon_days: float = 365.25) -> Answer:
    band = Interval(low=(probability or 0) * 0.8, high=min(1.0, (probability or 0) * 1.3))
    risk = Risk(outcome="death", horizon_days=horizon_days, probability=probability or 0.0, interval=band)
    return Answer(
        kind="forecast",
        subject="7",
        as_of=AT + timedelta(days=days),
        release="",
        freshness=Freshness(latest=None, age_days=None),
        risks=(risk,) if probability is not None else (),
    )


def _colours(options: Any) -> set[str]:
    """Find every colour in a chart's options."""
    if isinstance(options, dict):
        return {v for k, v in options.items() if "olor" in k and isinstance(v, str)}.union(
            *(_colours(v) for v in options.values()), set()
        )
    return set().union(*(_colours(v) for v in options)) if isinstance(options, list) else set()


def _is_green(colour: str) -> bool:
    if not colour.startswith("#"):
        return False
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return green > red + 20 and green > blue + 20


def test_what_was_not_yet_available_is_grey() -> None:
    events = [event("LOINC/1", -10), event("LOINC/1", -1, late_days=5), event("LOINC/1", 3)]
    (series,) = charts.timeline(events, AT)["series"]
    assert [point.get("itemStyle", {}).get("color") for point in series["data"]] == [
        None,
        charts.LATER,
        charts.LATER,
    ]


def attachment(
    kind: str, number: int, days: float, late_days: float = 0.0, title: str = "Note"
) -> Attachment:
    time = AT + timedelta(days=days)
    known = time + timedelta(days=late_days)
    return Attachment(kind=kind, number=number, time=time, available=known, title=title, source=None)  # type: ignore[arg-type]


def test_notes_images_and_genome_have_lanes_and_none_that_came_later() -> None:
    attachments = [
        attachment("note", 0, -9),
        attachment("note", 1, -1, late_days=5, title="LATER"),
        attachment("image", 0, -2),
        attachment("genome", 0, 3, title="LATER"),
    ]
    options = charts.timeline([event("LOINC/1", -1)], AT, attachments)
    keys = {series["name"]: [point.get("key") for point in series["data"]] for series in options["series"]}
    assert keys == {"Labs, vitals": [None], "Notes": [["note", 0]], "Images": [["image", 0]]}
    assert options["yAxis"]["data"] == ["Images", "Notes", "Labs, vitals"]
    assert "LATER" not in json.dumps(options)


def test_values_are_parted_by_when_they_were_available() -> None:
    events = [event("LOINC/1", day, late_days=5, value=100.0 + day) for day in (-30, -2, 4)]
    before, after = charts.values(events, AT)["series"]
    assert [value for _, value in before["data"]] == [70.0]
    assert [value for _, value in after["data"]] == [98.0, 104.0]


def test_the_codes_measured_most_often_come_first() -> None:
    events = [event("LOINC/rare", 1, value=1.0), *(event("LOINC/often", day, value=1.0) for day in range(3))]
    assert [code for code, _ in charts.measured([*events, event("RXNORM/1", 1, value=5.0)])] == [
        "LOINC/often",
        "LOINC/rare",
    ]


def test_a_band_encloses_its_curve_and_a_horizon_begins_with_no_risk() -> None:
    risks = [answer(0, p, days).risks[0] for p, days in ((0.1, 365.25), (0.3, 1826.25))]
    low, width, line = charts.horizons(risks)["series"]
    assert [x for x, _ in line["data"]] == [0.0, 1.0, 5.0]
    assert line["data"][0] == [0.0, 0.0]
    for (_, bottom), (_, tall), (_, middle) in zip(low["data"], width["data"], line["data"], strict=True):
        assert bottom <= middle <= bottom + tall + 1e-9


def test_a_trajectory_leaves_out_when_nothing_was_answered() -> None:
    options = charts.trajectory([answer(-9, 0.1), answer(-5, None), answer(0, 0.2)], "death", 365.25, AT)
    assert [value for _, value in options["series"][2]["data"]] == [10.0, 20.0]


def test_no_chart_has_green_in_it() -> None:
    events = [
        event(code, -1, value=1.0)
        for code in ("LOINC/1", "ICD10CM/E11", "RXNORM/1", "CPT/1", "VISIT/AMB", "LOCAL/1")
    ]
    drawn = [
        charts.timeline(events, AT, [attachment(kind, 0, -1) for kind in charts.LANES]),
        charts.values(events, AT),
        charts.horizons([answer(0, 0.001).risks[0]]),
        charts.trajectory([answer(0, 0.001)], "death", 365.25, AT),
    ]
    colours = set().union(*(_colours(options) for options in drawn))
    assert len(colours) > 5
    assert not [colour for colour in colours if _is_green(colour)]


def test_what_a_record_says_is_drawn_as_text() -> None:
    options = charts.timeline([event("LOINC/1", -1, text=MARKUP)], AT)
    assert options["tooltip"]["renderMode"] == "richText"
    assert json.dumps(options).count("onerror") == 1  # the point's own name, and nowhere else


def test_tasks_with_one_outcome_share_a_card_shortest_horizon_first() -> None:
    def item(task: str, code: str, days: float) -> Allowed:
        outcome = Outcome(name=task, codes=(code,))
        return Allowed(examined=Examined(task=task, outcome=outcome, horizons_days=(days,)), populations={})

    grouped = by_outcome([item("d5", "E11", 1826.0), item("h1", "I10", 365.0), item("d1", "E11", 365.0)])
    assert [[one.examined.task for one in items] for items in grouped] == [["d1", "d5"], ["h1"]]


@pytest.mark.parametrize(("code", "group"), [("VISIT_END/IMP", "Visits"), ("DEMOGRAPHIC/SEX=female", None)])
def test_codes_find_their_row(code: str, group: str | None) -> None:
    assert charts.group_of(code) == group
