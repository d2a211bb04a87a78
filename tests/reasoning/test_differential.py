"""Conditions that may be there: order, coexistence, what speaks for and against, and what is never said."""

import numpy as np
import polars as pl
import pytest
from invented_charts import Row, chart

from residency.contract.packed import Packed
from residency.contract.questions import Abstention, Answer, Differential, Freshness, Outcome, Risk, Statement
from residency.model import Model
from residency.reasoning import Index, ask, tell
from residency.reasoning.answers import instant
from residency.reasoning.conditions import conditions
from residency.reasoning.differential import first_records
from residency.reasoning.index import place

STAGE = Outcome(name="chronic_kidney_disease", codes=("ICD10CM/N18",))
THREE = Outcome(name="stage_3", codes=("ICD10CM/N18.3",))
FOUR = Outcome(name="stage_4", codes=("ICD10CM/N18.4",))
NT_PRO_BNP, CREATININE = "LOINC/33762-6", "LOINC/2160-0"


def forecast(risks: dict[str, float], known: tuple[str, ...] = ()) -> Answer:
    """Give an answer to the forecast that a differential rests on."""
    return Answer(
        kind="forecast",
        subject="1",
        as_of=instant(0),
        release="",
        freshness=Freshness(latest=None, age_days=None),
        risks=tuple(
            Risk(outcome=name, horizon_days=days, probability=p * share)
            for name, p in risks.items()
            for days, share in ((90.0, 0.5), (365.25, 1.0))
        ),
        abstentions=tuple(Abstention(reason="already_present", outcome=name) for name in known),
    )


def told(rows: list[Row], found: Answer, question: Differential | None = None) -> tuple[Statement, ...]:
    return tell(question or Differential(), chart(rows, 400.0), [found]).statements


def about(said: tuple[Statement, ...], words: str, *tags: str) -> list[str]:
    return [one.text for one in said if words in one.text.lower() and one.tag in tags]


def test_what_cannot_be_missed_comes_first_however_unlikely_and_then_the_likelier() -> None:
    found = forecast({"diabetes": 0.4, "heart_failure": 0.2, "sepsis": 0.001, "lung_cancer": 0.01})
    answer = tell(Differential(), chart([(390.0, "VISIT/AMB")], 400.0), [found])
    names = list(dict.fromkeys(risk.outcome for risk in answer.risks))
    assert names == ["lung_cancer", "sepsis", "diabetes", "heart_failure"]
    first = [one.tag for one in answer.statements if one.tag in ("cant_miss", "possible")]
    assert first == sorted(first)
    assert first.count("cant_miss") == sum(bool(one.cant_miss) for one in conditions().condition)


def test_conditions_coexist_so_their_chances_are_not_made_to_add_up() -> None:
    both = tell(
        Differential(),
        chart([(1.0, "VISIT/AMB")], 400.0),
        [forecast({"diabetes": 0.8, "heart_failure": 0.9})],
    )
    assert [risk.probability for risk in both.risks if risk.horizon_days > 100] == [0.9, 0.8]


def test_a_condition_that_cannot_be_missed_is_named_although_the_model_gives_no_figure() -> None:
    said = told([(1.0, "VISIT/AMB")], forecast({}))
    assert about(said, "pulmonary embolism: no figure; to be thought of all the same", "cant_miss")


def test_what_speaks_for_and_against_is_cited_and_says_who_says_so() -> None:
    rows: list[Row] = [(300.0, NT_PRO_BNP, 600.0), (390.0, CREATININE, 0.7), (395.0, "ICD10CM/R60.9")]
    said = told(rows, forecast({"heart_failure": 0.2, "chronic_kidney_disease": 0.1}))
    assert about(said, "speaks for heart failure", "for") == [
        "NT-proBNP 600 on 2020-10-27: speaks for heart failure.",
        "Oedema on record (2021-01-30): speaks for heart failure.",
    ]
    assert about(said, "speaks against chronic kidney disease", "against")
    weighed = [one for one in said if one.tag in ("for", "against")]
    assert all(one.citations and one.basis for one in weighed)


def test_the_newest_value_counts_and_an_old_one_speaks_neither_way() -> None:
    fell: list[Row] = [(300.0, NT_PRO_BNP, 600.0), (390.0, NT_PRO_BNP, 50.0)]
    said = told(fell, forecast({"heart_failure": 0.2}))
    assert not about(said, "speaks for heart failure", "for")
    assert about(said, "speaks against heart failure", "against")
    old = told([(-800.0, NT_PRO_BNP, 600.0), (390.0, "VISIT/AMB")], forecast({"heart_failure": 0.2}))
    assert not about(old, "heart failure", "for", "against")
    assert about(old, "not measured lately, of what would bear on heart failure: nt-probnp", "not_checked")


def test_what_is_on_record_is_no_candidate() -> None:
    said = told([(10.0, "ICD10CM/E11.9")], forecast({}, known=("diabetes",)))
    assert [one.tag for one in said if one.text.startswith("Diabetes is")] == ["known"]
    assert not about(said, "speaks for diabetes", "for") + about(said, "speaks against diabetes", "against")
    assert not about(said, "diabetes:", "possible")


def test_each_finding_of_the_table_can_be_met_and_none_speaks_both_ways_at_once() -> None:
    for condition in conditions().condition:
        by_test: dict[str, list[tuple[float, float, str]]] = {}
        for one in condition.finding:
            low = -np.inf if one.above is None else one.above
            high = np.inf if one.below is None else one.below
            assert low < high
            by_test.setdefault(one.of, []).append((low, high, one.speaks))
        for spans in by_test.values():
            fors = [(low, high) for low, high, speaks in spans if speaks == "for"]
            againsts = [(low, high) for low, high, speaks in spans if speaks == "against"]
            assert all(a[0] >= b[1] or b[0] >= a[1] for a in fors for b in againsts)


@pytest.fixture(scope="module")
def records(packed: Packed) -> pl.DataFrame:
    return pl.DataFrame({"source": [f"Observation/{row}" for row in range(int(packed.event_ref.max()) + 1)]})


def test_a_patients_differential_rests_on_the_forecast_of_first_records(
    model: Model, packed: Packed, records: pl.DataFrame
) -> None:
    question = Differential(candidates=(THREE, FOUR, STAGE), imminent_days=60.0)
    index = Index(np.arange(30), packed.moment_time[packed.moment_offset[1:31] - 1])
    assert (place(packed, index).n_moments > 0).all()
    answers = ask(model, packed, [question, first_records(question)], index, records=records)
    n_moved = 0
    for row in range(30):
        told_, plain = answers.answer(row, 0), answers.answer(row, 1)
        mine, theirs = (
            {(risk.outcome, risk.horizon_days): risk.probability for risk in one.risks}
            for one in (told_, plain)
        )
        assert mine == pytest.approx(theirs, abs=1e-5)
        assert {one.outcome for one in told_.abstentions if one.reason == "already_present"} == {
            one.outcome for one in plain.abstentions if one.reason == "already_present"
        }
        n_moved += bool(told_.moved)
        if not told_.risks:
            assert not told_.moved
    assert n_moved > 5


def test_without_evidence_or_without_records_nothing_moved_is_given(
    model: Model, packed: Packed, records: pl.DataFrame
) -> None:
    index = Index(np.arange(3), packed.moment_time[packed.moment_offset[1:4] - 1])
    plain = Differential(candidates=(STAGE,), evidence=False)
    assert not any(ask(model, packed, [plain], index, records=records)[row].moved for row in range(3))
    assert not any(
        ask(model, packed, [Differential(candidates=(STAGE,))], index)[row].moved for row in range(3)
    )
