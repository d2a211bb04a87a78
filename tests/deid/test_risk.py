from dataclasses import replace
from datetime import UTC, datetime

import polars as pl
import pytest

from residency.deid import RiskRules, deidentify
from residency.deid.attacks import date_pattern, gaps, linkage
from residency.deid.risk import measured, page, small_cells

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
    assert "attacks" in found
    assert found["leak_scan"]["files_with_a_known_identifier_in_their_statistics"] == 0


def test_the_page_says_what_the_file_says() -> None:
    assert "<td>0.25</td>" in page({"attacks": {"linkage": {"expected_right": 0.25}}})
