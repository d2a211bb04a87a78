"""In: many courses, without charts. Out: treatments do what the truth says, and the sicker get them."""

from dataclasses import dataclass

import numpy as np
import pytest

from residency.simulation.course import Course, course
from residency.simulation.medicine import hospital
from residency.simulation.people import People, people
from residency.simulation.pharmacogenes import genetic_score
from residency.simulation.potential import HORIZONS_DAYS, Question, questions
from residency.simulation.spec import HospitalSpec

SPEC = HospitalSpec(n_patients=2000, seed=21)
HIDDEN = HospitalSpec(n_patients=1000, seed=21, variant="hidden_confounder")
PAIRS = [(drug.name, outcome) for drug in hospital().treatment for outcome in drug.effect]


@dataclass(frozen=True)
class Asked:
    people: People
    course: Course
    question: dict[tuple[str, str], Question]


def ask(spec: HospitalSpec) -> Asked:
    group = people(spec, 0, spec.n_patients)
    lived = course(group, spec)
    return Asked(group, lived, dict(zip(PAIRS, questions(group, lived, spec), strict=True)))


@pytest.fixture(scope="module")
def many() -> Asked:
    return ask(SPEC)


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("arm", [0, 1])
def test_as_many_events_come_under_each_arm_as_the_truth_says(
    many: Asked, pair: tuple[str, str], arm: int
) -> None:
    question = many.question[pair]
    assert len(question.day) > 90
    for h, horizon in enumerate(HORIZONS_DAYS):
        came = question.event[:, arm] <= question.day + horizon
        told = question.risk[:, arm, h]
        assert abs((came - told).sum()) < 3.5 * np.sqrt((told * (1 - told)).sum())
        assert 0.02 < told.mean() < 0.8


@pytest.mark.parametrize("pair", PAIRS)
def test_the_propensity_is_the_share_that_is_treated(many: Asked, pair: tuple[str, str]) -> None:
    question = many.question[pair]
    told, sick = question.propensity, np.argsort(question.propensity)
    for part in (sick[: len(sick) // 2], sick[len(sick) // 2 :]):
        spread = np.sqrt((told[part] * (1 - told[part])).sum())
        assert abs((question.taken - told)[part].sum()) < 3.5 * spread
    assert told.std() > 0.1
    assert 0.01 < told.min() < told.max() < 0.995


@pytest.mark.parametrize("pair", PAIRS)
def test_a_doctor_knows_no_more_of_the_pace_than_is_written_down(many: Asked, pair: tuple[str, str]) -> None:
    question, treatment = many.question[pair], next(t for t in hospital().treatment if t.name == pair[0])
    disease = [one.name for one in hospital().disease].index(treatment.of)
    pace = np.log(many.people.pace[question.patient, disease])
    seen = many.people.seen[question.patient, disease]
    odds = np.log(question.propensity / (1 - question.propensity))
    rest = odds - treatment.propensity.seen * seen
    assert abs(np.corrcoef(odds, pace)[0, 1]) > 0.3
    assert abs(np.corrcoef(rest, pace)[0, 1]) < 3.5 / np.sqrt(len(pace))


@pytest.mark.parametrize(
    "pair", [("warfarin", "stroke"), ("losartan", "kidney_failure"), ("carvedilol", "decompensation")]
)
def test_a_naive_comparison_underrates_a_drug_that_the_sicker_get(many: Asked, pair: tuple[str, str]) -> None:
    question = many.question[pair]
    truly = question.risk[:, 1, 1].mean() - question.risk[:, 0, 1].mean()
    risk = np.where(question.taken, question.risk[:, 1, 1], question.risk[:, 0, 1])
    naive = risk[question.taken].mean() - risk[~question.taken].mean()
    assert truly < -0.04
    assert naive > truly + 0.03


def test_weighting_by_the_propensity_finds_the_truth_again(many: Asked) -> None:
    for pair in PAIRS:
        question = many.question[pair]
        chance = np.where(question.taken, question.propensity, 1 - question.propensity)
        risk = np.where(question.taken, question.risk[:, 1, 1], question.risk[:, 0, 1]) / chance
        found = np.where(question.taken, risk, -risk)
        truly = question.risk[:, 1, 1] - question.risk[:, 0, 1]
        assert abs(found.mean() - truly.mean()) < 3.5 * found.std() / np.sqrt(len(found))


def test_what_came_is_what_the_arm_taken_would_bring(many: Asked) -> None:
    event = many.course.event
    for question in many.question.values():
        mine = question.event[np.arange(len(question.day)), question.taken.astype(int)]
        np.testing.assert_array_equal(event[question.patient, question.happening], mine)


def test_arms_are_alike_until_the_treatment_is_decided_on(many: Asked) -> None:
    for t, h in ((0, 1), (0, 3), (2, 4), (3, 5), (1, 6)):
        first = many.course.potential[:, h].min(axis=1)
        before = np.isfinite(first) & (first <= many.course.asked[:, t])
        np.testing.assert_allclose(*many.course.potential[before, h].T, rtol=1e-12)


def test_genomes_change_what_drugs_do(many: Asked) -> None:
    for pair, score in (
        (("clopidogrel", "reinfarction"), "clopidogrel_loss"),
        (("warfarin", "bleeding"), "warfarin_over"),
    ):
        question = many.question[pair]
        worse = genetic_score(score, many.people.count)[question.patient] > 0.1
        ratio = np.log(question.risk[:, 1, 0] / question.risk[:, 0, 0])
        assert ratio[worse].mean() > ratio[~worse].mean() + 0.1


def test_a_hidden_cause_confounds_in_its_variant_alone(many: Asked) -> None:
    for asked, hides in ((many, False), (ask(HIDDEN), True)):
        question = asked.question["warfarin", "stroke"]
        hidden = asked.people.hidden[question.patient]
        assert (np.corrcoef(hidden, question.propensity)[0, 1] > 0.3) == hides
        assert (np.corrcoef(hidden, question.risk[:, 0, 0])[0, 1] > 0.3) == hides
