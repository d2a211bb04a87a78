"""Drafts: each sentence cites and says no more than its records; what is required is there or flagged."""

import re
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from invented_charts import Row, chart

from residency.contract.errors import NotFoundError
from residency.contract.questions import Draft, Statement
from residency.reasoning.chart import Chart, day_of
from residency.reasoning.drafts import drafted, plans
from residency.reasoning.encounters import visit_of
from residency.reasoning.sections import SECTIONS
from residency.reasoning.telling import tell

DOCUMENTS = get_args(Draft.__annotations__["document"])
FULL: list[Row] = [
    (None, "DEMOGRAPHIC/SEX=female"),
    (-400, "ICD10CM/I48.91"),
    (-20, "ALLERGY/RXNORM:7980"),
    (-20, "FAMILY/SNOMED:44054006"),
    (-10, "VISIT/AMB"),
    (-10, "RXNORM/855332"),
    (0, "VISIT/IMP"),
    (0, "ICD10CM/E11.9"),
    (1, "LOINC/2160-0", 1.4),
    (2, "LOINC/2160-0", 1.2),
    (2, "RXNORM/312961"),
    (3, "VISIT_END/IMP"),
]
PENDING = [(3.0, "LOINC/18842-5", "Pending at discharge: HLA-B27. Result to be followed.\n")]


def draft(document: str, rows: list[Row] = FULL, day: float = 30) -> list[Statement]:
    seen = chart(rows, day, notes=PENDING)
    return list(tell(Draft(document=document), seen, []).statements)  # type: ignore[arg-type]


def texts(found: list[Statement], tag: str) -> list[str]:
    return [one.text for one in found if one.tag == tag]


def test_every_section_of_every_plan_is_written_somewhere() -> None:
    assert set(plans()) == set(DOCUMENTS)
    for plan in plans().values():
        assert set(plan.sections) <= set(SECTIONS)
        assert set(plan.required) <= set(plan.sections)


def test_a_discharge_summary_says_what_a_doctor_would_look_for() -> None:
    found = draft("discharge_summary")
    assert texts(found, "identity") == ["Woman of 27 years."]
    assert texts(found, "stay") == ["In hospital from 2020-01-01 to 2020-01-04."]
    assert texts(found, "allergies") == ["Allergy: Penicillin G, recorded on 2019-12-12."]
    assert texts(found, "anticoagulants") == [
        "Anticoagulant: Warfarin Sodium 5 MG Oral Tablet, ordered on 2019-12-22."
    ]
    assert texts(found, "diagnoses") == [
        "Diagnosis: Type 2 diabetes mellitus without complications, recorded on 2020-01-01."
    ]
    assert texts(found, "results") == [
        "Creatinine [Mass/volume] in Serum or Plasma: 1.2 mg/dL on 2020-01-03."
    ]
    assert "HLA-B27" in texts(found, "pending")[0]
    assert texts(found, "flagged") == ["Code status: not on record. Ask.", "Follow-up: to be filled in."]


def test_a_relatives_illness_stays_a_relatives() -> None:
    found = draft("referral")
    assert texts(found, "family") == ["A relative, not the patient: Diabetes mellitus type 2."]
    own = [one for one in found if one.tag != "family"]
    assert not any("FamilyMemberHistory" in cite.source for one in own for cite in one.citations)


def test_codes_are_suggested_with_the_record_that_supports_them() -> None:
    found = [one for one in draft("coding_suggestions") if one.tag == "codes"]
    assert [one.text for one in found] == [
        "E11.9: Type 2 diabetes mellitus without complications, recorded on 2020-01-01."
    ]
    assert [one.source for one in found[0].citations] == ["Condition/8"]


def test_a_prior_authorisation_says_what_is_asked_for_and_what_was_tried() -> None:
    found = draft("prior_authorisation")
    assert texts(found, "request")[0].startswith("Authorisation is asked for Simvastatin 20 MG")
    assert texts(found, "tried") == ["Ordered before, on 2019-12-22: Warfarin Sodium 5 MG Oral Tablet."]


def test_what_has_no_known_code_is_given_no_name_and_taken_for_nothing_else() -> None:
    rare: list[Row] = [(0, "ICD10CM/I73.9"), (0.1, "ICD10CM/G71.0"), (0, "RXNORM/1"), (0.1, "RXNORM/2")]
    seen = chart(FULL + rare, 30, notes=PENDING, lacking=[row[1] for row in rare])
    found = {name: tell(Draft(document=name), seen, []).statements for name in DOCUMENTS}
    assert not any("UNKNOWN" in one.text for statements in found.values() for one in statements)
    stay = [one for one in found["discharge_summary"] if "not known here" in one.text]
    assert [one.citations[0].source for one in stay if one.tag == "diagnoses"] == [
        "Condition/13",
        "Condition/14",
    ]
    assert [len(one.citations) for one in stay if one.tag == "problems"] == [2]
    drugs = [one for one in found["referral"] if one.tag == "medications" and "not known here" in one.text]
    assert len({one.citations[0].source for one in drugs}) == 2


def test_a_message_tells_what_was_from_what_is() -> None:
    old: list[Row] = [(0, "VISIT/AMB"), (0, "ICD10CM/Z86.73"), (0, "ICD10CM/I25.2"), (0, "ICD10CM/I63.9")]
    told = texts(draft("patient_message", old, 1), "told_diagnoses")
    assert sorted(told) == [
        "Your doctor wrote down: a heart attack in the past.",
        "Your doctor wrote down: a stroke in the past.",
        "Your doctor wrote down: stroke.",
    ]


def test_a_visit_can_be_named_and_must_be_on_record() -> None:
    seen = chart(FULL, 30)
    assert visit_of(seen, "Encounter/5").kind == "AMB"
    with pytest.raises(NotFoundError):
        drafted(Draft(document="visit_summary", visit="Encounter/999"), seen)


EVENT = st.tuples(
    st.integers(-600, 60),
    st.sampled_from(sorted({row[1] for row in FULL} - {"VISIT_END/IMP"})),
    st.sampled_from([0.7, 1.2, 14.6]),
)
COUNTED = ("identity", "open_loops", "pending", "visit", "stay", "safety", "greeting")  # tell days, ages
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def facts(seen: Chart, sources: set[str]) -> set[str]:
    """Give every number that some records hold."""
    rows = [row for row in range(len(seen)) if seen.sources[row] in sources]
    words = [f"{seen.named(row).says} {seen.named(row).name} {seen.named(row).unit}" for row in rows]
    words += [f"{seen.value[row]:.4g} {seen.value[row]:.3g}" for row in rows]
    words += [seen.date(row) for row in rows if seen.named(row).name[:4] != "DEMO"]
    words += [f"{day_of(one.time)} {one.text}" for one in seen.documents if one.source in sources]
    return {number for text in words for number in NUMBER.findall(text)}


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(EVENT, max_size=20), document=st.sampled_from(DOCUMENTS))
def test_nothing_is_invented_and_nothing_required_is_left_out(rows: list[Row], document: str) -> None:
    seen = chart(rows, 61, notes=PENDING)
    found = drafted(Draft(document=document), seen)
    plan = plans()[document]
    assert {one.rule for one in found} >= set(plan.required)
    for one in found:
        assert bool(one.citations) == (one.tag != "flagged")
        if one.citations and one.rule not in COUNTED:
            sources = {cite.source for cite in one.citations}
            assert set(NUMBER.findall(one.text)) <= facts(seen, sources), one.rule


@settings(max_examples=15, deadline=None)
@given(rows=st.lists(EVENT, max_size=12), document=st.sampled_from(DOCUMENTS))
def test_the_order_of_records_changes_no_word(rows: list[Row], document: str) -> None:
    unique = list({row[:2]: row for row in rows if row[0] is not None}.values())
    distinct: list[Row] = [(day * 7 + number, *rest) for number, (day, *rest) in enumerate(unique)]  # type: ignore[misc]
    one = [s.text for s in drafted(Draft(document=document), chart(distinct, 500))]
    other = [s.text for s in drafted(Draft(document=document), chart(distinct[::-1], 500))]
    assert one == other


def test_what_comes_later_changes_no_draft() -> None:
    later: list[Row] = [*FULL, (40, "ALLERGY/RXNORM:1191"), (40, "VISIT/IMP"), (41, "ICD10CM/I10")]
    codes: list[Row] = [(900, row[1]) for row in later]
    for document in DOCUMENTS:
        before = draft(document, [*FULL, *codes])
        after = draft(document, [*later, *codes])
        assert [one.text for one in before] == [one.text for one in after]
