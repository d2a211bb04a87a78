from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from residency.records.clock import BAD, NONE, Clock, microseconds

at = datetime.fromisoformat

DAY = 86_400_000_000
MOMENTS = st.datetimes(min_value=at("1900-01-01"), max_value=at("2100-01-01"))


TEXTS = [
    None,
    "",
    "2019",
    "2019-02-30",
    "2019-02-30T10:00:00",
    "2019-05-01T10:00",
    "2020-07-01T12:00:00.123+05:30",
    "2020-07-01T12:00:00.1234567Z",
    "2020-07-01T12:00:00-04:00",
]


@settings(deadline=None)
@given(MOMENTS)
def test_a_full_time_means_one_instant(moment: datetime) -> None:
    clock, text = Clock(), moment.isoformat(timespec="microseconds")
    assert clock.first[text] == clock.last[text] == microseconds(moment)


@settings(deadline=None)
@given(MOMENTS, st.integers(-14, 14))
def test_an_offset_leaves_the_wall_clock_as_it_is(moment: datetime, hours: int) -> None:
    text = f"{moment.isoformat(timespec='milliseconds')}{hours:+03}:00"
    assert Clock().first[text] == Clock().first[text[:-6]]


@settings(deadline=None)
@given(st.dates(min_value=at("1900-01-01").date()))
def test_a_date_is_placed_at_midnight_and_available_at_the_days_end(day: object) -> None:
    clock, text = Clock(), str(day)
    assert clock.last[text] - clock.first[text] == DAY - 1
    assert clock.first[text] % DAY == 0


@pytest.mark.parametrize(("text", "days"), [("2019-02", 28), ("2020-02", 29), ("2019", 365), ("2020", 366)])
def test_a_month_or_a_year_means_all_of_it(text: str, days: int) -> None:
    clock = Clock()
    assert clock.last[text] - clock.first[text] == days * DAY - 1


def test_a_birth_of_which_only_the_year_is_known_lies_in_its_middle() -> None:
    born = at("1970-01-01") + timedelta(microseconds=Clock().middle["1950"])
    assert born == at("1950-07-02")


def test_a_zone_turns_instants_into_the_sites_wall_clock_through_summer_and_winter() -> None:
    clock = Clock("America/New_York")
    assert clock.first["2020-07-01T12:00:00Z"] == microseconds(at("2020-07-01T08:00"))
    assert clock.first["2020-01-01T12:00:00+00:00"] == microseconds(at("2020-01-01T07:00"))
    assert clock.first["2020-01-01T12:00:00"] == microseconds(at("2020-01-01T12:00"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2019-13-01",
        "2019-02-30",
        "20190501",
        "2019-05-01T25:00:00Z",
        "2019-W01-1T10:00",
        "2019-5-1",
    ],
)
def test_what_is_no_time_is_told_apart_from_no_time(text: str) -> None:
    clock = Clock()
    assert clock.first[text] == clock.last[text] == clock.middle[text] == BAD
    assert clock.first[None] == NONE


@settings(deadline=None)
@given(
    st.lists(st.one_of(MOMENTS.map(str), MOMENTS.map(lambda t: t.isoformat() + "Z"), st.sampled_from(TEXTS)))
)
@pytest.mark.parametrize("zone", ["", "America/New_York"])
def test_a_column_of_times_is_read_as_one_by_one(zone: str, texts: list[str | None]) -> None:
    clock = Clock(zone)
    assert clock.firsts(texts).tolist() == [Clock(zone).first[text] for text in texts]
    assert clock.lasts(texts).tolist() == [Clock(zone).last[text] for text in texts]
