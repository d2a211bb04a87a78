from dataclasses import replace
from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from residency.contract.errors import SchemaError
from residency.contract.identifiers import pseudonym_of, subject_id_of, visit_id_of
from residency.contract.schema import LABELS, OBSERVATION
from residency.deid import Tables, transform

KEY = b"k" * 32
BIRTH = {"subject_id": 1, "site": "north", "code": "MEDS_BIRTH"}
QUICK = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def frame(table) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(table))


def hidden(rows, events, policy, key=KEY) -> pl.DataFrame:
    return frame(transform(Tables(rows(events)), policy, key).tables.events)


def test_identifiers_become_pseudonyms(rows, patient, policy) -> None:
    after = hidden(rows, patient("p1"), policy)
    assert set(after["subject_id"]) == {pseudonym_of(KEY, subject_id_of("p1", "north"))}
    assert set(after["visit_id"].drop_nulls()) == {pseudonym_of(KEY, visit_id_of("enc-p1", "north"))}
    assert after["source"][3].startswith("Observation/")
    assert not after["source"].str.contains("p1").any()


def test_intervals_weekdays_and_times_of_day_stay(rows, patient, policy) -> None:
    before, after = frame(rows(patient("p1"))), hidden(rows, patient("p1"), policy)
    for name in ("time", "available"):
        shift = (after[name] - before[name]).drop_nulls()
        assert shift.n_unique() == 1
        assert shift[0] % timedelta(weeks=1) == timedelta(0)
        assert timedelta(0) < abs(shift[0]) <= timedelta(weeks=policy.shift_weeks)


def test_shifts_differ_between_patients_and_keys(rows, patient, policy) -> None:
    events = [row for name in range(40) for row in patient(f"p{name}")]
    one = transform(Tables(rows(events)), policy, KEY).people
    other = transform(Tables(rows(events)), policy, b"o" * 32).people
    assert one["shift"].n_unique() > 20
    assert (one["shift"] != other["shift"]).sum() > 30
    assert set(one["pseudonym"]).isdisjoint(other["pseudonym"])


def test_no_shift_is_ever_none(rows, patient, policy) -> None:
    narrow = replace(policy, shift_weeks=1)
    events = [row for name in range(40) for row in patient(f"p{name}")]
    weeks = transform(Tables(rows(events)), narrow, KEY).people["shift"] // (7 * 86_400_000_000)
    assert set(weeks) == {-1, 1}


def test_free_text_goes_unless_its_code_is_allowed(rows, patient, policy) -> None:
    assert hidden(rows, patient("p1"), policy)["text_value"].drop_nulls().to_list() == ["021"]
    allowed = replace(policy, keep_text=("LOINC/8251-1",))
    assert "Mrs. Doep1 says" in hidden(rows, patient("p1"), allowed)["text_value"].to_list()
    counted = transform(Tables(rows(patient("p1"))), policy, KEY).changed
    assert counted["texts removed"] == 1


def test_small_zip_areas_become_000(rows, policy) -> None:
    zips = ["03601", "02139-1234", "021", "SW1A 1AA", "893"]
    events = [{"subject_id": 1, "site": "n", "code": "DEMOGRAPHIC/ZIP", "text_value": one} for one in zips]
    assert hidden(rows, events, policy)["text_value"].to_list() == ["000", "021", "021", None, "000"]


def test_a_zip_within_a_code_is_cut_too(rows, policy) -> None:
    events = [
        {"subject_id": 1, "site": "n", "code": f"DEMOGRAPHIC/ZIP={one}"}
        for one in ("02139", "05901", "Elm Street")
    ]
    codes = hidden(rows, events, policy)["code"].to_list()
    assert codes == ["DEMOGRAPHIC/ZIP=021", "DEMOGRAPHIC/ZIP=000", "DEMOGRAPHIC/ZIP=000"]


def test_events_of_other_code_systems_are_dropped_and_counted(rows, patient, policy) -> None:
    strict = replace(policy, code_systems=("LOINC", "MEDS"))
    done = transform(
        Tables(rows([*patient("p1"), {"subject_id": 1, "site": "n", "code": "unspelled"}])), strict, KEY
    )
    assert set(frame(done.tables.events)["code"]) == {"MEDS_BIRTH", "LOINC/2160-0", "LOINC/8251-1"}
    assert done.dropped["code system not allowed"] == 4
    assert done.rows.tolist() == [0, 3, 4]


def test_columns_that_are_not_allowed_are_null(rows, patient, policy) -> None:
    bare = hidden(rows, patient("p1"), replace(policy, columns=("unit",)))
    for name in ("text_value", "visit_id", "site", "era", "source"):
        assert bare[name].null_count() == len(bare)
    assert bare["unit"].drop_nulls().to_list() == ["mg/dL"]


def test_the_era_is_that_of_the_true_date(rows, patient, policy) -> None:
    assert hidden(rows, patient("p1"), policy)["era"].to_list()[3:] == ["2010H1", "2010H1", "2010H2"]
    assert hidden(rows, patient("p1"), replace(policy, era="year"))["era"].to_list()[3:] == ["2010"] * 3
    assert hidden(rows, patient("p1"), replace(policy, era="off"))["era"].null_count() == 6


def test_a_birth_has_no_era(rows, patient, policy) -> None:
    assert hidden(rows, patient("p1"), policy)["era"][0] is None


def test_blurred_borders_of_eras_differ_between_patients(rows, policy) -> None:
    events = [
        {"subject_id": subject, "site": "n", "code": "LOINC/1-1", "time": f"2010-{day}"}
        for subject in range(30)
        for day in ("06-01", "07-31", "03-01")
    ]
    eras = hidden(rows, events, replace(policy, era_blur_days=45)).with_columns(
        place=pl.int_range(pl.len()) % 3
    )
    assert eras.filter(place=0)["era"].n_unique() == 2
    assert eras.filter(place=1)["era"].n_unique() == 2
    assert set(eras.filter(place=2)["era"]) == {"2010H1"}


@QUICK
@given(born=st.integers(1880, 1990), seen=st.lists(st.integers(0, 115 * 365), min_size=1, max_size=6))
def test_nobody_shows_an_age_above_the_limit(rows, policy, born, seen) -> None:
    birth = at(f"{born}-05-06")
    events = [{**BIRTH, "time": birth.isoformat()}]
    events += [
        {"subject_id": 1, "site": "n", "code": "LOINC/1-1", "time": (birth + timedelta(days=day)).isoformat()}
        for day in seen
    ]
    after = hidden(rows, events, policy)
    shown, last = after["time"][0], after["available"].max()
    assert last < shown.replace(year=shown.year + 90)
    if max(seen) < 90 * 365:
        assert (last - shown).days == max(seen)
    else:
        assert (last - shown).days > 79 * 365  # moved by no more decades than it takes


def test_a_high_age_hides_neither_more_nor_less_when_its_last_event_moves(rows, policy) -> None:
    shown = []
    for year in (2001, 2003, 2008):
        events = [{**BIRTH, "time": "1910-01-01"}, {**BIRTH, "code": "LOINC/1-1", "time": f"{year}-01-01"}]
        shown.append(hidden(rows, events, policy)["time"][0])
    assert len(set(shown)) == 1


def test_ages_above_the_limit_become_90_in_their_unit(rows, policy) -> None:
    ages = [(95.0, "a"), (89.0, "a"), (1200.0, "mo"), (1079.0, "mo"), (101.0, None), (None, "a")]
    events = [
        {"subject_id": 1, "site": "n", "code": "LOINC/30525-0", "numeric_value": value, "unit": unit}
        for value, unit in ages
    ]
    assert hidden(rows, events, policy)["numeric_value"].to_list() == [90.0, 89.0, 1080.0, 1079.0, 90.0, None]
    assert transform(Tables(rows(events)), policy, KEY).changed["ages capped"] == 3


def test_labels_and_observation_move_with_their_patient(rows, patient, policy) -> None:
    subject = subject_id_of("p1", "north")
    labels = pl.DataFrame(
        {"subject_id": [subject], "prediction_time": [at("2010-02-03")], "boolean_value": [True]}
    )
    for name, kind in (
        ("integer_value", pl.Int64),
        ("float_value", pl.Float32),
        ("categorical_value", pl.String),
    ):
        labels = labels.with_columns(pl.lit(None, kind).alias(name))
    seen = pl.DataFrame(
        {
            "subject_id": [subject],
            "start": [at("2010-01-01")],
            "end": [at("2011-01-01")],
            "rule": ["x"],
        }
    )
    moments = {"prediction_time": pl.Datetime("us")}
    done = transform(
        Tables(
            rows(patient("p1")),
            seen.cast({"start": pl.Datetime("us"), "end": pl.Datetime("us")}).to_arrow().cast(OBSERVATION),
            {"sepsis": labels.cast(moments).to_arrow().cast(LABELS)},
        ),
        policy,
        KEY,
    )
    shift = timedelta(microseconds=done.people["shift"][0])
    label = frame(done.tables.labels["sepsis"])
    interval = frame(done.tables.observation)
    assert label["prediction_time"][0] - at("2010-02-03") == shift
    assert interval["end"][0] - at("2011-01-01") == shift
    assert label["subject_id"][0] == interval["subject_id"][0] == done.people["pseudonym"][0]


def test_a_sites_name_becomes_a_pseudonym_where_the_policy_says_so(rows, patient, policy) -> None:
    names = hidden(rows, patient("p1"), replace(policy, sites="pseudonym"))["site"]
    assert names.n_unique() == 1
    assert names[0].startswith("site-")


def test_a_reference_of_an_unlisted_kind_loses_it(rows, policy) -> None:
    events = [
        {"subject_id": 1, "site": "n", "code": "LAB/x", "source": one} for one in ("DoeJane.csv/17", "bare")
    ]
    shown = hidden(rows, events, policy)["source"]
    assert shown.str.starts_with("Record/").all()
    assert not shown.str.contains("Doe").any()


def test_a_patient_is_hidden_the_same_alone_and_among_others(rows, patient, policy) -> None:
    among = hidden(rows, [*patient("p0"), *patient("p1"), *patient("p2")], policy)
    alone = hidden(rows, patient("p1"), policy)
    assert among.filter(pl.col("subject_id") == alone["subject_id"][0]).equals(alone)


def test_an_empty_request_is_an_empty_table(rows, policy) -> None:
    assert hidden(rows, [], policy).columns == rows([]).column_names


def test_a_table_of_another_schema_is_refused(rows, patient, policy) -> None:
    with pytest.raises(SchemaError):
        transform(Tables(rows(patient("p1")).drop_columns("unit")), policy, KEY)
