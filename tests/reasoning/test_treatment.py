"""What speaks against a drug, what was not checked, and what a trial promises; on charts written by hand."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from invented_charts import SAYS, Row, chart, vocabulary_of

from residency.contract.errors import QuestionError
from residency.contract.questions import Answer, Freshness, Interval, Outcome, Risk, Statement, Treatment
from residency.reasoning.answers import instant
from residency.reasoning.cautions import safety, spoken_of
from residency.reasoning.safety import called, checked
from residency.reasoning.telling import needs, tell
from residency.reasoning.treatment import Effect, drug_of, resolved, trials

STROKE = Outcome(name="stroke", codes=("ICD10CM/I63",))
AF: list[Row] = [(0, "VISIT/AMB"), (0, "ICD10CM/I48.91")]


def asked(drug: str, rows: list[Row], *, genome: tuple[str, ...] = (), risk: float | None = 0.1) -> Answer:
    """Ask what a drug would change, with a given risk without it."""
    seen = chart(rows, 100, genome=genome)
    question = Treatment(options=(drug,), outcome=STROKE, horizon_days=365.0)
    risks = (
        ()
        if risk is None
        else (
            Risk(
                outcome="stroke", horizon_days=365.0, probability=risk, interval=Interval(low=0.05, high=0.2)
            ),
        )
    )
    found = Answer(
        kind="forecast",
        subject="1",
        as_of=instant(seen.as_of),
        release="",
        freshness=Freshness(latest=None, age_days=None),
        risks=risks,
        research=True,
    )
    assert len(needs(question, seen.as_of)) == 1
    return tell(question, seen, [found])


def tagged(answer: Answer, tag: str) -> list[Statement]:
    return [one for one in answer.statements if one.tag == tag]


def test_every_entry_of_the_tables_says_who_says_so() -> None:
    table = safety()
    assert len(spoken_of(table)) > 40
    rules = (*table.gene, *table.allele, *table.condition, *table.value, *table.interaction, *table.cross)
    assert all(len(rule.basis) > 8 for rule in (*rules, *table.uncalled, *trials().effect))
    assert all(one.low < one.ratio < one.high < 1 for one in trials().effect)


@pytest.mark.parametrize(
    ("drug", "call", "level"),
    [
        ("clopidogrel", "CYP2C19*2/*2", "blocked"),
        ("clopidogrel", "CYP2C19*1/*2", "caution"),
        ("clopidogrel", "CYP2C19*1/*17", None),
        ("warfarin", "CYP2C9*2/*3", "caution"),
        ("simvastatin", "SLCO1B1*5/*5", "blocked"),
        ("simvastatin", "SLCO1B1*1/*5", "caution"),
        ("fluorouracil", "DPYD*2A/*2A", "blocked"),
        ("azathioprine", "TPMT*1/*3A", "caution"),
        ("azathioprine", "TPMT*3A/*3C", "blocked"),
        ("abacavir", "HLA-B*57:01", "blocked"),
        ("carbamazepine", "HLA-B*15:02", "blocked"),
        ("allopurinol", "HLA-B*58:01", "blocked"),
    ],
)
def test_a_genome_speaks_as_cpic_does(drug: str, call: str, level: str | None) -> None:
    found = checked(chart(AF, 100, genome=(call,)), drug)
    genetic = [one for one in found.against if "CPIC" in one.basis]
    assert [one.level for one in genetic] == ([] if level is None else [level])
    assert all([cite.source for cite in one.citations] == ["Observation/genome"] for one in genetic)


def test_a_gene_that_nobody_read_is_said_to_be_unchecked() -> None:
    assert any("CYP2C19" in one for one in checked(chart(AF, 100), "clopidogrel").not_checked)
    assert any("NUDT15" in one for one in checked(chart(AF, 100), "azathioprine").not_checked)
    assert any("HLA-B*57:01" in one for one in checked(chart(AF, 100), "abacavir").not_checked)


def test_an_allele_that_the_table_lacks_is_not_taken_for_the_usual_one() -> None:
    strange = chart(AF, 100, genome=("CYP2C19*1/*35",))
    found = called(strange, "CYP2C19")
    assert found is not None
    assert found[0].phenotype is None
    assert any("CYP2C19" in one for one in checked(strange, "clopidogrel").not_checked)


def test_an_allergy_forbids_the_drug_and_its_class() -> None:
    rows: list[Row] = [*AF, (5, "ALLERGY/RXNORM:7980"), (5, "ALLERGY/RXNORM:1191")]
    for drug in ("amoxicillin", "aspirin", "ibuprofen"):
        assert checked(chart(rows, 100), drug).blocked, drug
    assert not checked(chart(rows, 100), "warfarin").blocked
    nobody_asked = checked(chart(AF, 100), "amoxicillin")
    assert any(one.startswith("allergies") for one in nobody_asked.not_checked)


def test_a_condition_or_a_fresh_value_speaks_against_a_drug() -> None:
    assert checked(chart([*AF, (3, "ICD10CM/I61.9")], 100), "warfarin").blocked
    assert checked(chart([*AF, (3, "ICD10CM/N18.4")], 100), "metformin").blocked
    high = checked(chart([*AF, (3, "LOINC/2823-3", 5.6)], 100), "spironolactone")
    assert [one.level for one in high.against] == ["caution"]
    old = checked(chart([(-300, "LOINC/2823-3", 5.6), *AF], 100), "spironolactone")
    assert not old.against
    assert any(one.startswith("potassium") for one in old.not_checked)


def test_what_is_taken_interacts_from_either_side_until_it_is_old() -> None:
    both: list[Row] = [*AF, (90, "RXNORM/310965"), (80, "RXNORM/855332")]
    for drug, other in (("warfarin", "Ibuprofen"), ("ibuprofen", "Warfarin")):
        texts = [one.text for one in checked(chart(both, 100), drug).against]
        assert any(other in text for text in texts), drug
    assert not checked(chart([(-700, "RXNORM/310965"), *AF], 100), "warfarin").against


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 90), st.sampled_from(sorted(SAYS))), max_size=6), drug=st.data()
)
def test_nothing_found_never_stands_without_what_was_not_looked_at(
    rows: list[Row], drug: st.DataObject
) -> None:
    name = drug.draw(st.sampled_from(["warfarin", "clopidogrel", "simvastatin", "metformin"]))
    answer = asked(name, [*AF, *rows])
    (lacking,) = tagged(answer, "not_checked")
    assert "dose and route" in lacking.text
    said = [*tagged(answer, "blocked"), *tagged(answer, "caution"), *tagged(answer, "nothing_found")]
    assert said
    assert not (tagged(answer, "blocked") and tagged(answer, "benefit"))
    assert all(one.citations for one in (*tagged(answer, "blocked"), *tagged(answer, "caution")))


def test_the_benefit_is_the_patients_risk_times_the_trials_effect() -> None:
    answer = asked("warfarin", AF)
    without, with_it = answer.risks
    assert with_it.outcome == "stroke with warfarin"
    assert with_it.probability == pytest.approx(0.1 * 0.36)
    assert with_it.interval == Interval(low=0.05 * 0.26, high=0.2 * 0.51)
    (benefit,) = tagged(answer, "benefit")
    assert "16 treated for one fewer" in benefit.text
    assert "Hart" in str(benefit.basis)
    assert [one.source for one in benefit.citations] == ["Condition/2"]
    assert without.probability == 0.1


def test_a_hazard_ratio_is_applied_to_the_hazard() -> None:
    one = Effect(drug="", outcome="", among=(), basis="", kind="hazard", ratio=0.5, low=0.4, high=0.6)
    assert one.applied(0.75, 0.5) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("drug", "rows", "risk", "why"),
    [
        ("warfarin", [*AF, (1, "ICD10CM/I61.9")], 0.1, "forbids"),
        ("warfarin", AF[:1], 0.1, "not on record"),
        ("warfarin", [*AF, (50, "RXNORM/855332")], 0.1, "may be taking it"),
        ("warfarin", AF, None, "no figure for the risk"),
        ("digoxin", AF, 0.1, "no trial"),
    ],
)
def test_where_the_trial_does_not_fit_there_is_no_figure(
    drug: str, rows: list[Row], risk: float | None, why: str
) -> None:
    answer = asked(drug, rows, risk=risk)
    (one,) = tagged(answer, "no_figure")
    assert why in one.text
    assert len(answer.risks) == (risk is not None)


def test_a_drug_is_known_by_its_code_its_name_or_its_description() -> None:
    assert drug_of("RXNORM/11289") == drug_of("warfarin") == "warfarin"
    question = Treatment(options=("RXNORM/855332",), outcome=STROKE, horizon_days=30.0)
    named = resolved(question, vocabulary_of(["RXNORM/855332"]))
    assert isinstance(named, Treatment)
    assert named.options == ("warfarin",)


def test_an_unknown_drug_is_refused_and_the_nearest_named() -> None:
    with pytest.raises(QuestionError, match="nearest known: RXNORM/11289"):
        drug_of("RXNORM/11288")
    with pytest.raises(QuestionError, match="clopidogrel"):
        drug_of("clopidogrl")


def test_the_answer_survives_the_contract() -> None:
    answer = asked("warfarin", AF, genome=("CYP2C9*2/*3",))
    assert msgspec.json.decode(msgspec.json.encode(answer), type=Answer) == answer
