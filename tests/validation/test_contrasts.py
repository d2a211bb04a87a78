import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from residency.validation.contrasts import contrasts_of, holm
from residency.validation.figures import Figure
from residency.validation.measuring import Measured


def step_down(p: list[float]) -> list[float]:
    """Holm's method as it is written: reject in order while p is at most alpha over what is left."""
    order = sorted(range(len(p)), key=lambda at: p[at])
    return [
        min(1.0, max(p[order[k]] * (len(p) - k) for k in range(order.index(at) + 1))) for at in range(len(p))
    ]


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_agrees_with_its_definition(p: list[float]) -> None:
    assert holm(p) == pytest.approx(step_down(p))


def measured(auroc: float, *, patients: int, events: int, spread: float = 0.02, seed: int = 0) -> Measured:
    rng = np.random.default_rng(seed)
    figure = Figure(auroc, auroc + rng.normal(0, spread, 2_000))
    figures = {"model": {"auroc": figure}, "baseline": None, "stack": None, "best_possible": None}
    return Measured(patients, patients, events, figures)


def test_each_group_is_held_against_the_largest_and_small_ones_are_not_tested() -> None:
    found = contrasts_of(
        {
            "group=sex=male": measured(0.80, patients=900, events=200),
            "group=sex=female": measured(0.70, patients=800, events=200, seed=1),
            "group=age=old": measured(0.80, patients=900, events=300, seed=2),
            "group=age=young": measured(0.50, patients=500, events=99, seed=3),
        }
    )
    assert [(one.group, one.value, one.reference) for one in found] == [("sex", "female", "male")]
    assert found[0].difference.value == pytest.approx(-0.1)
    assert found[0].p_corrected < 0.01


def test_groups_that_do_not_differ_are_seldom_called_different() -> None:
    found = [
        contrasts_of(
            {
                f"group=site={value}": measured(
                    0.8 + float(np.random.default_rng([seed, value]).normal(0, 0.02)),
                    patients=900 + value,
                    events=200,
                    seed=seed * 10 + value,
                )
                for value in range(4)
            }
        )
        for seed in range(200)
    ]
    wrong = sum(any(one.p_corrected < 0.05 for one in some) for some in found)
    assert wrong <= 20
