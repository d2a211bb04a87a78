"""In: many courses. Out: hazards add up to what came to pass, in every variant."""

import numpy as np
import pytest

from residency.simulation.course import Course, course
from residency.simulation.hazards import rates_at
from residency.simulation.intensities import effects, intensities
from residency.simulation.medicine import hospital
from residency.simulation.people import people
from residency.simulation.spec import QUARTER_DAYS, YEAR_DAYS, HospitalSpec, Variant

N = 1000
VARIANTS: tuple[Variant, ...] = (
    "plain",
    "hidden_confounder",
    "wrong_hazard_shape",
    "informative_missingness",
)


@pytest.mark.parametrize("variant", VARIANTS)
def test_hazards_add_up_to_what_came_to_pass(variant: Variant) -> None:
    spec = HospitalSpec(n_patients=N, seed=8, variant=variant)
    group = people(spec, 0, N)
    lived = course(group, spec)
    day = np.arange(spec.n_quarters - 1) * float(QUARTER_DAYS)
    state, year = lived.state(day), (day // YEAR_DAYS).astype(np.int64)
    onset, strikes = rates_at(group, intensities(group, 0, int(year[-1]), variant), state, year)
    alive = day < np.minimum(lived.death, lived.fatal)[:, None]
    pairs = [(onset[..., i], lived.onset[:, i]) for i in range(len(effects().death))]
    pairs += [
        (strikes[..., h], np.minimum(lived.event[:, h], lived.fatal if h == 0 else np.inf))
        for h in range(len(effects().of))
    ]
    for hazard, came in pairs:
        waits = alive & (day < came[:, None])
        told = (hazard * waits).sum() * QUARTER_DAYS
        many = ((came > 0) & (came <= day[-1] + QUARTER_DAYS)).sum()
        assert abs(many - told) < 4 * np.sqrt(told) + 0.12 * told  # states change within a quarter


@pytest.fixture(scope="module")
def lived() -> Course:
    spec = HospitalSpec(n_patients=N, seed=8)
    return course(people(spec, 0, N), spec)


def test_what_follows_a_disease_cannot_come_before_it(lived: Course) -> None:
    for h, of in enumerate(effects().of):
        if of >= 0:
            came = np.isfinite(lived.potential[:, h]).any(axis=1)
            assert came.sum() > 25
            assert (lived.potential[came, h] > lived.diagnosis[came, of, None]).all()


def test_a_strike_that_kills_is_followed_by_death_within_a_day(lived: Course) -> None:
    struck = np.isfinite(lived.fatal)
    assert 12 < struck.sum() < N / 10
    wait = lived.death[struck] - lived.fatal[struck]
    assert ((wait > 0) & (wait < 1)).all()


def test_habits_turn_their_effect_where_the_shape_is_wrong() -> None:
    group = people(HospitalSpec(n_patients=N), 0, 600)
    cancer = [one.name for one in hospital().disease].index("lung_cancer")
    for variant, crossing in (("plain", False), ("wrong_hazard_shape", True)):
        onset = intensities(group, 0, 1, variant).onset[:, 0, cancer]
        ratio = {
            old: np.log(onset[group.smoker & ((group.age > 70) == old)]).mean()
            - np.log(onset[~group.smoker & ~group.former & ((group.age > 70) == old)]).mean()
            for old in (True, False)
        }
        assert (ratio[True] < ratio[False] - 1) == crossing
