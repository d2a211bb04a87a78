from dataclasses import replace
from datetime import UTC, datetime

import polars as pl
import pytest

from residency.deid import RiskRules, deidentify
from residency.deid.attacks import clues, date_pattern, gaps, linkage, outside_list, shift_left
from residency.deid.risk import measured, page, small_cells, suppression

NOW = datetime(2024, 1, 1, tzinfo=UTC)


def people(*cells: tuple[int, str, int, str]) -> pl.DataFrame:
    rows = [(sex, year, place, value) for n, sex, year, value in cells for place in ["021"] for _ in range(n)]
    return pl.DataFrame(
        [(i, sex, year, place, value) for i, (sex, year, place, value) in enumerate(rows)],
        schema=["subject_id", "sex", "birth_year", "zip3", "sensitive"],
        orient="row",
    )


def test_k_l_and_t_are_those_of_a_hand_worked_case() -> None:
    found = measured(people((6, "F", 1950, "I"), (6, "F", 1950, "J"), (12, "M", 1950, "I")))
    assert found["smallest_cell"] == 12
    assert found["l_diversity"] == 1
    assert found["t_closeness"] == pytest.approx(0.25)  # all: 18/24 I; women: 1/2; men: 1


def test_places_are_hidden_before_patients_are_left_out() -> None:
    table = people((12, "F", 1950, "I"), (3, "M", 1950, "I")).with_columns(
        zip3=pl.when(pl.col("subject_id") < 2).then(pl.lit("945")).otherwise("zip3")
    )
    hidden, lost = small_cells(table, 10)
    assert hidden == {0, 1, 12, 13, 14}
    assert lost == {0, 1, 12, 13, 14}
    assert small_cells(table, 1) == (frozenset(), frozenset())


def test_who_knows_days_of_visits_finds_those_whose_gaps_nobody_shares() -> None:
    days = {1: [0, 10, 30], 2: [100, 110, 130], 3: [0, 10, 31], 4: [5, 12, 40]}
    events = pl.DataFrame(
        [(who, day) for who, listed in days.items() for day in listed],
        schema=["subject_id", "day"],
        orient="row",
    ).select(
        "subject_id",
        code=pl.lit("VISIT/AMB"),
        time=(pl.lit(datetime.fromisoformat("2010-01-01")) + pl.duration(days="day")).cast(pl.Datetime("us")),
    )
    found = date_pattern(gaps(events))
    assert found["patients"] == 4
    assert found["found_by_2_visits"] == 0.25
    assert found["found_by_3_visits"] == 0.5


def test_an_outside_list_finds_who_stands_alone() -> None:
    alone = linkage(people((1, "F", 1950, "I"), (9, "M", 1950, "I")))
    assert alone["share_with_one_candidate"] == 0.1
    assert alone["expected_right"] == pytest.approx(0.2)


def test_a_true_list_finds_whoever_alone_could_be_meant() -> None:
    names = ["subject_id", "sex", "birth_year", "zip3"]
    result = pl.DataFrame(
        [(1, "F", 1950, "000"), (2, "F", 1951, "021"), (3, "M", 1950, "021"), (4, "M", 1990, "945")],
        schema=names, orient="row",
    ).with_columns(pl.col("birth_year").cast(pl.Int32))  # fmt: skip
    people = result.with_columns(zip3=pl.Series(["02139", "02139", "DEMOGRAPHIC/ZIP=02139", "94501"]))
    found = outside_list(people, result, 1)
    assert found["people"] == 4
    assert (
        found["share_found"] == found["share_with_one_candidate"] == 0.5
    )  # 3 and 4; 1 and 2 could be either
    assert found["expected_right"] == pytest.approx(0.75)
    moved = outside_list(people.with_columns(pl.col("birth_year") - 5), result, 1)
    assert moved["share_found"] == moved["expected_right"] == 0


@pytest.mark.parametrize("shift", [-30, -1, 1, 52])
def test_what_eras_tell_of_a_shift_never_rules_the_true_one_out(shift: int) -> None:
    blur = 9  # days by which this patient's borders between eras move
    true = pl.datetime_range(datetime(2010, 1, 3), datetime(2013, 5, 3), "11d", eager=True)  # noqa: DTZ001
    period = true.dt.offset_by(f"{blur}d")
    era = period.dt.year().cast(pl.String) + period.dt.month().map_elements(
        lambda month: "H1" if month <= 6 else "H2", return_dtype=pl.String
    )
    events = pl.DataFrame({"subject_id": 1, "time": true.dt.offset_by(f"{7 * shift}d"), "era": era})
    ((_, low, high),) = clues(events).iter_rows()
    assert low <= 7 * shift - blur <= high
    assert high - low < 31
    left = shift_left(clues(events), 52, 45)
    assert 1 <= left["fewest_weeks_left"] <= (90 + 31) / 7 + 1
    assert shift_left(clues(events.with_columns(era=pl.lit(None, pl.String))), 52, 45) == {"patients": 0}


def test_the_risk_before_and_after_suppression_is_told_whether_or_not_it_is_done() -> None:
    table = people((12, "F", 1950, "I"), (3, "M", 1950, "I"))
    found = suppression(table, RiskRules(smallest_cell=10))
    assert (found["done"], found["patients_left_out"]) == (False, 3)
    assert (found["before"]["smallest_cell"], found["after"]["smallest_cell"]) == (3, 12)
    assert found["after"]["highest_risk"] <= found["highest_risk_allowed"] == 0.1
    shown = page({"suppression": found})
    assert "<th>smallest cell</th><td>3</td><td>12</td>" in shown
    assert "not asked for" in shown


def test_with_a_bound_no_cell_of_the_result_is_smaller(records, patient, policy, tmp_path) -> None:
    shards = [[row for n in range(20) for row in patient(f"p{n}")]]
    odd = [row | {"time": "1930-03-04"} if row["code"] == "MEDS_BIRTH" else row for row in patient("odd")]
    bound = replace(policy, shift_weeks=1, risk=RiskRules(smallest_cell=5, suppress=True))
    manifest = deidentify(records([shards[0] + odd]), tmp_path / "out", bound, now=NOW)
    import json

    found = json.loads((tmp_path / "out/metadata/risk.json").read_text())
    assert found["smallest_cell"] >= 5
    assert manifest.rows.dropped["too few patients are like theirs"] == 6
    assert manifest.rows.read == manifest.rows.kept + 6
    subjects = pl.read_parquet(tmp_path / "out/metadata/subjects.parquet")
    assert len(subjects) == manifest.result["patients"] == 20
    assert found["suppression"]["done"]
    assert found["suppression"]["before"]["smallest_cell"] == 1
    assert set(found["attacks"]) == {"linkage", "date_pattern", "shift", "outside_list"}
    assert found["leak_scan"]["hits"] == 0
    assert found["leak_scan"]["bytes_scanned"] > 1000


def test_the_page_says_what_the_file_says() -> None:
    assert "<td>0.25</td>" in page({"attacks": {"linkage": {"expected_right": 0.25}}})
