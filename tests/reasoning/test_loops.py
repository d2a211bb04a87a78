"""What is left open, and what changed: by rules, on charts written by hand and on a simulated hospital."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from invented_charts import Row, at, chart
from invented_hospital import Charts, made, measure

from residency import HospitalSpec
from residency.contract.questions import Statement
from residency.reasoning.answers import microseconds
from residency.reasoning.changes import changed
from residency.reasoning.loops import Loop, open_loops
from residency.reasoning.rules import rules, spoken_of

HIGH_TSH: list[Row] = [(0, "VISIT/AMB"), (0, "LOINC/3016-3", 14.6)]
LISINOPRIL: list[Row] = [(0, "VISIT/AMB"), (0, "RXNORM/314076"), (90, "VISIT/AMB")]
NODULE = "IMPRESSION:\n1. A 9 mm nodule in the left upper lobe. Follow-up CT in 3 to 6 months is recommended."
PENDING = "Discharge.\nPending at discharge: serum protein electrophoresis. Result to be followed.\n"
BACK = "Stable.\nRepeat blood tests and visit in 4 weeks, important.\n"


def names(loops: tuple[Loop, ...]) -> list[str]:
    return [loop.rule for loop in loops]


def test_every_rule_speaks_of_known_things_and_says_who_says_so() -> None:
    table = rules()
    assert len(spoken_of(table)) > 20
    every = [
        *table.result,
        *table.monitoring,
        *table.finding,
        *table.pending,
        *table.recall,
        *table.screening,
    ]
    assert all(len(rule.basis) > 20 for rule in every)
    assert len({rule.name for rule in every}) == len(every)


def test_a_high_value_is_open_until_somebody_acts() -> None:
    assert names(open_loops(chart(HIGH_TSH, 80))) == []
    (loop,) = open_loops(chart(HIGH_TSH, 100))
    assert (loop.rule, loop.kind) == ("tsh_very_high", "unacted_result")
    assert [one.source for one in loop.citations] == ["Observation/2"]
    assert "14.6 m[IU]/L on 2020-01-01" in loop.text
    repeated: list[Row] = [*HIGH_TSH, (60, "LOINC/3016-3", 3.0)]
    assert names(open_loops(chart(repeated, 100))) == []


def test_a_diagnosis_that_is_coded_again_is_no_act_but_a_new_one_is() -> None:
    again: list[Row] = [(-50, "ICD10CM/E03.9"), *HIGH_TSH, (30, "ICD10CM/E03.9")]
    assert names(open_loops(chart(again, 100))) == ["tsh_very_high"]
    assert names(open_loops(chart(again[1:], 100))) == []


def test_a_repeat_that_is_not_yet_available_closes_nothing() -> None:
    rows: list[Row] = [*HIGH_TSH, (99, "LOINC/3016-3", 3.0)]
    assert names(open_loops(chart(rows, 100, lag_days=2))) == ["tsh_very_high"]
    assert names(open_loops(chart(rows, 102, lag_days=2))) == []


def test_a_drug_without_its_tests_is_told_only_of_who_came() -> None:
    (loop,) = open_loops(chart(LISINOPRIL, 190))
    assert loop.rule == "ace_inhibitor_or_diuretic_without_kidney_tests"
    assert {one.source for one in loop.citations} == {"MedicationRequest/2", "Encounter/3"}
    assert names(open_loops(chart(LISINOPRIL[:2], 190))) == []
    assert names(open_loops(chart([*LISINOPRIL, (30, "LOINC/2823-3", 4.1)], 190))) == []


def test_a_nodule_is_open_until_a_ct_is_reported() -> None:
    notes = [(0.0, "LOINC/24627-2", NODULE)]
    rows: list[Row] = [(0, "DICOM/CT"), (200, "SNOMED/169069000")]
    (loop,) = open_loops(chart(rows, 280, notes=notes))
    assert loop.kind == "finding_without_follow_up"
    assert loop.citations[0].source == "DocumentReference/0"
    start, end = loop.citations[0].start, loop.citations[0].end
    assert NODULE[start:end].startswith("nodule in the left upper lobe")
    assert names(open_loops(chart([*rows, (201, "LOINC/24627-2")], 280, notes=notes))) == []
    none = [(0.0, "LOINC/24627-2", "No nodule or mass.\nRecommend return in 6 months.")]
    assert names(open_loops(chart(rows, 280, notes=none))) == []


def test_a_mass_is_open_but_not_of_a_cancer_that_is_known() -> None:
    notes = [
        (
            0.0,
            "LOINC/24627-2",
            "A mass of 40 mm in the left upper lobe. PET-CT and tissue diagnosis recommended.",
        )
    ]
    assert names(open_loops(chart([(0, "DICOM/CT")], 70, notes=notes))) == ["mass_without_work_up"]
    known: list[Row] = [(-100, "ICD10CM/C34.12"), (0, "DICOM/CT"), (50, "ICD10CM/C34.12")]
    assert names(open_loops(chart(known, 70, notes=notes))) == []
    found: list[Row] = [(0, "DICOM/CT"), (50, "ICD10CM/C34.12")]
    assert names(open_loops(chart(found, 70, notes=notes))) == []


def test_a_test_that_was_out_is_open_until_a_document_names_it() -> None:
    notes = [(0.0, "LOINC/18842-5", PENDING)]
    assert names(open_loops(chart([(0, "VISIT/IMP")], 20, notes=notes))) == ["pending_at_discharge"]
    told = [*notes, (10.0, "LOINC/11506-3", "Serum protein electrophoresis: no paraprotein.")]
    assert names(open_loops(chart([(0, "VISIT/IMP")], 20, notes=told))) == []


def test_a_missed_return_is_open_until_a_visit() -> None:
    notes = [(0.0, "LOINC/11506-3", BACK)]
    assert names(open_loops(chart([(0, "VISIT/AMB")], 100, notes=notes))) == ["recheck_missed"]
    assert names(open_loops(chart([(0, "VISIT/AMB"), (40, "VISIT/AMB")], 100, notes=notes))) == []
    assert names(open_loops(chart([(0, "VISIT/AMB"), (50, "MEDS_DEATH")], 100, notes=notes))) == []


def test_screening_is_due_of_those_it_is_meant_for() -> None:
    visits: list[Row] = [(day, "VISIT/AMB") for day in (0, 400, 800, 1200)]
    rows: list[Row] = [*visits, (0, "ICD10CM/E11.9"), (100, "LOINC/4548-4", 7.0)]
    assert "diabetes_without_hba1c" in names(open_loops(chart(rows, 1210)))
    assert "diabetes_without_hba1c" not in names(
        open_loops(chart([*rows, (1000, "LOINC/4548-4", 6.9)], 1210))
    )
    assert "diabetes_without_hba1c" not in names(open_loops(chart(visits, 1210)))


def said(rows: list[Row], since: float, day: float) -> list[Statement]:
    return list(changed(chart(rows, day), microseconds(at(since))))


def test_what_is_new_is_what_became_available_since() -> None:
    rows: list[Row] = [
        (0, "ICD10CM/E11.9"),
        (0, "RXNORM/312961"),
        (50, "ICD10CM/I48.91"),
        (50, "ICD10CM/E11.9"),
    ]
    new = [one for one in said(rows, 10, 60) if one.tag == "new"]
    assert [one.text for one in new] == ["Newly recorded: Unspecified atrial fibrillation (2020-02-20)."]
    assert [one.source for one in new[0].citations] == ["Condition/3"]


def test_a_value_that_moved_the_wrong_way_by_what_counts_is_worse() -> None:
    rows: list[Row] = [(0, "LOINC/2160-0", 1.0), (50, "LOINC/2160-0", 1.4)]
    (worse,) = said(rows, 10, 60)
    assert worse.tag == "worsening"
    assert worse.text == "Creatinine 1.4 mg/dL on 2020-02-20, up from 1 mg/dL on 2020-01-01."
    assert said([rows[0], (50, "LOINC/2160-0", 1.2)], 10, 60) == []
    assert said(rows, 55, 60) == []


def test_a_value_that_came_back_is_resolved() -> None:
    (one,) = said([(0, "LOINC/2823-3", 6.4), (3, "LOINC/2823-3", 4.4)], 1, 5)
    assert (one.tag, one.rule) == ("resolved", "potassium_dangerous")


EVENT = st.tuples(
    st.floats(0, 900).map(round),
    st.sampled_from(
        ["VISIT/AMB", "RXNORM/314076", "ICD10CM/E11.9", "LOINC/2160-0", "LOINC/3016-3", "MEDS_DEATH"]
    ),
    st.sampled_from([0.5, 2.0, 14.6]),
)


@settings(max_examples=15, deadline=None)
@given(rows=st.lists(EVENT, max_size=15), later=st.lists(EVENT, max_size=8))
def test_what_becomes_available_later_changes_nothing(rows: list[Row], later: list[Row]) -> None:
    after: list[Row] = [(901 + row[0], *row[1:]) for row in later]  # type: ignore[misc]
    codes: list[Row] = [(2000, row[1]) for row in [*rows, *later]]  # the same vocabulary
    before, now = chart([*rows, *codes], 900), chart([*rows, *after, *codes], 900)
    assert [loop.text for loop in open_loops(before)] == [loop.text for loop in open_loops(now)]
    since = microseconds(at(300))
    assert [one.text for one in changed(before, since)] == [one.text for one in changed(now, since)]


@pytest.mark.slow
def test_planted_lapses_are_found_and_what_is_found_is_so(tmp_path: Path) -> None:
    spec = HospitalSpec(n_patients=60, seed=3, lapses=0.6, genomes=False, start="2012-01-01")
    hospital = made(tmp_path, spec, min_patients=1)
    tally = measure(hospital, Charts(hospital), 2, seed=0)
    assert sum(tally.planted.values()) >= 25
    assert sum(n > 0 for n in tally.said.values()) >= 4
    assert tally.recall >= 0.9
    assert tally.precision >= 0.9
