"""In: many courses, without charts. Out: the risks that the truth tells are the ones that came to pass."""

from dataclasses import dataclass, fields

import numpy as np
import pytest
from scipy.linalg import expm
from sklearn.metrics import roc_auc_score

from residency.simulation.chains import chain
from residency.simulation.course import Course, course
from residency.simulation.medicine import hospital
from residency.simulation.people import People, people
from residency.simulation.risk import at_risk, exponential, risk
from residency.simulation.spec import HORIZONS_DAYS, QUARTER_DAYS, HospitalSpec

SPEC = HospitalSpec(n_patients=1000, seed=11)
NAMES = [one.name for one in hospital().disease]


@dataclass(frozen=True)
class Hospital:
    people: People
    course: Course


@pytest.fixture(scope="module")
def many() -> Hospital:
    group = people(SPEC, 0, SPEC.n_patients)
    return Hospital(group, course(group, SPEC))


def in_blocks(many: Hospital, target: int) -> np.ndarray:
    parts = []
    for first in range(0, len(many.people), 100):
        group, lived = (
            type(whole)(**{one.name: getattr(whole, one.name)[first : first + 100] for one in fields(whole)})
            for whole in (many.people, many.course)
        )
        parts.append(risk(group, lived, SPEC, target))
    return np.concatenate(parts)


@pytest.fixture(scope="module", params=range(len(NAMES)), ids=NAMES)
def told(request: pytest.FixtureRequest, many: Hospital) -> tuple[int, np.ndarray]:
    return request.param, in_blocks(many, request.param)


def outcomes(many: Hospital, target: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Which starts are seen for the whole horizon, and which of them end in a diagnosis."""
    day = np.arange(SPEC.n_quarters) * QUARTER_DAYS
    seen = at_risk(many.course, target, SPEC.n_quarters)
    seen &= day + horizon <= many.people.stay_days[:, None]
    return seen, many.course.diagnosis[:, target, None] <= day + horizon


def test_as_many_are_diagnosed_as_the_truth_expects(many: Hospital, told: tuple[int, np.ndarray]) -> None:
    target, chance = told
    for h, horizon in enumerate(HORIZONS_DAYS):
        seen, came = outcomes(many, target, horizon)
        surplus = np.where(seen, came - chance[..., h], 0.0).sum(axis=1)  # starts of one patient overlap
        assert came[seen].sum() > 100
        assert abs(surplus.sum()) < 3.5 * np.sqrt((surplus**2).sum())


def test_the_truth_is_calibrated_among_low_and_high_risks(
    many: Hospital, told: tuple[int, np.ndarray]
) -> None:
    target, chance = told
    seen, came = outcomes(many, target, 365)
    high = chance[..., 1] > (0.2 if chance[..., 1].max() > 0.35 else 0.03)
    for part in (seen & high, seen & ~high):
        surplus = np.where(part, came - chance[..., 1], 0.0).sum(axis=1)
        assert abs(surplus.sum()) < 3.5 * np.sqrt((surplus**2).sum())


def test_the_truth_ranks_far_better_than_age(many: Hospital, told: tuple[int, np.ndarray]) -> None:
    target, chance = told
    seen, came = outcomes(many, target, 365)
    age = many.people.age[:, None] + np.arange(SPEC.n_quarters) * QUARTER_DAYS / 365.25
    best, by_age = roc_auc_score(came[seen], chance[..., 1][seen]), roc_auc_score(came[seen], age[seen])
    acute = hospital().disease[target].kind == "acute"
    assert (0.68 if acute else 0.85) < best < 0.96
    assert 0.53 < by_age < best - (0.02 if acute else 0.1)


def test_each_disease_is_diagnosed_often_enough() -> None:
    lived = course(people(SPEC, 0, 2000), SPEC)
    incident = ((lived.diagnosis > 0) & (lived.diagnosis <= lived.until[:, None])).sum(axis=0)
    assert (incident >= 150).all()


def test_matrix_exponentials_agree_with_scipy() -> None:
    rng = np.random.default_rng(0)
    rates = rng.random((3, 2, 6, 6)) * 0.4
    generator = rates - np.einsum("nyst,sq->nysq", np.eye(6) * rates.sum(axis=-1)[..., None], np.eye(6))
    np.testing.assert_allclose(
        exponential(generator), [[expm(year) for year in one] for one in generator], atol=1e-9
    )


def test_a_chain_loses_chance_to_death_only() -> None:
    for target in range(len(NAMES)):
        layout = chain(target)
        deadly = np.array([part.kind in ("death", "fatal") for part in layout.parts])
        np.testing.assert_allclose(layout.matrix[~deadly].sum(axis=2), 0.0, atol=1e-12)
        assert (layout.matrix[deadly].diagonal(axis1=1, axis2=2)[:, :-1] <= -1).all()
        assert (layout.matrix[:, -1] == 0).all()


def test_chains_hold_no_disease_that_does_not_matter() -> None:
    sizes = {name: chain(i).n_states for i, name in enumerate(NAMES)}
    assert {sizes[name] for name in NAMES[:4]} == {17}
    assert sizes["atrial_fibrillation"] == sizes["coronary_disease"] == 2 * 16 + 1
    assert (sizes["sepsis"], sizes["stroke"], sizes["myocardial_infarction"]) == (17, 4 * 16 + 1, 3 * 16 + 1)


def test_risks_are_the_share_of_equal_people_who_are_diagnosed() -> None:
    """One person of 70 who smokes, lived twenty thousand times: to the third decimal, deaths and all."""
    n = 20_000
    group = people(SPEC, 0, 50)
    row = int(np.argmax(group.smoker & (group.age > 65)))
    same = {one.name: getattr(group, one.name)[[row] * n] for one in fields(People)}
    rng = np.random.default_rng(1)
    clocks, lot = rng.standard_exponential(same["clocks"].shape), rng.random(same["lot"].shape)
    alike = People(**{**same, "clocks": clocks, "lot": lot})
    lived = course(alike, SPEC)
    free = np.flatnonzero((lived.onset > 0).all(axis=1))
    one = People(**{name: column[:1] for name, column in same.items()})
    begin = Course(**{of.name: getattr(lived, of.name)[free[:1]] for of in fields(Course)})
    for target in range(len(NAMES)):
        told = risk(one, begin, SPEC, target)[0, 0]
        for chance, horizon in zip(told, HORIZONS_DAYS, strict=True):
            share = (lived.diagnosis[free, target] <= horizon).mean()
            assert abs(share - chance) < 4 * np.sqrt(chance * (1 - chance) / len(free))
