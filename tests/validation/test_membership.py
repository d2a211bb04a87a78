import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.tree import DecisionTreeClassifier

from residency.validation.membership import Fit, attack, confidence, judge, worst_group


def patients(n: int, *, leaf: int, seed: int = 0, rows: int = 3) -> tuple[Fit, np.ndarray]:
    """Invented patients of a few rows each, and a tree trained on some; `leaf` rows end its growth."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n * rows, 6))
    owner = np.repeat(np.arange(n), rows)
    label = rng.random(n * rows) < 1 / (1 + np.exp(-values[:, 0]))

    def fit(mask: np.ndarray) -> np.ndarray:
        tree = DecisionTreeClassifier(min_samples_leaf=leaf, random_state=0)
        tree.fit(values[mask[owner]], label[mask[owner]])
        risk = np.clip(tree.predict_proba(values)[:, 1], 0.01, 0.99)
        each = np.log(np.where(label, risk, 1 - risk))
        return np.bincount(owner, each) / rows

    return fit, rng.permutation(n) < n // 2


def test_an_overfitted_model_fails() -> None:
    fit, member = patients(1_500, leaf=1)
    found = judge(attack(fit, member, shadows=8), member)
    assert found.outcome == "fail"
    assert found.auroc > 0.9


def test_a_model_that_was_stopped_early_passes() -> None:
    fit, member = patients(3_000, leaf=1_000)
    found = judge(attack(fit, member, shadows=8), member)
    assert found.outcome == "pass"
    assert found.power > 0.99


def test_too_few_patients_are_insufficient_and_neither_pass_nor_fail() -> None:
    fit, member = patients(160, leaf=60)
    found = judge(attack(fit, member, shadows=8), member)
    assert found.outcome == "insufficient"
    assert found.power < 0.8


def test_the_attack_is_stronger_than_how_well_the_model_fits() -> None:
    fit, member = patients(2_000, leaf=15)
    strong = roc_auc_score(member, attack(fit, member, shadows=12))
    assert strong > roc_auc_score(member, fit(member)) + 0.02


@pytest.mark.parametrize("seed", range(3))
def test_the_auroc_and_its_error_agree_with_others(seed: int) -> None:
    rng = np.random.default_rng(seed)
    member = rng.random(400) < 0.4
    score = (rng.normal(size=400) + 0.5 * member).round(1)  # with ties
    found = judge(score, member)
    assert found.auroc == pytest.approx(roc_auc_score(member, score))
    drawn = [rng.integers(0, 400, 400) for _ in range(400)]
    spread = np.std([roc_auc_score(member[rows], score[rows]) for rows in drawn])
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(spread, rel=0.12)


def test_chance_alone_passes_about_as_often_as_the_power_says() -> None:
    rng, outcomes = np.random.default_rng(0), []
    for _ in range(300):
        member = np.arange(1_400) < 700
        outcomes.append(judge(rng.normal(size=1_400), member).outcome)
    power = judge(rng.normal(size=1_400), member).power
    assert np.mean([one == "pass" for one in outcomes]) == pytest.approx(power, abs=0.06)


def test_the_worst_group_is_the_one_that_is_given_away() -> None:
    rng = np.random.default_rng(1)
    group = rng.choice(["few", "many"], 4_000, p=[0.2, 0.8])
    member = rng.random(4_000) < 0.5
    score = rng.normal(size=4_000) + 2.0 * (member & (group == "few"))
    name, found = worst_group(score, member, group)
    assert (name, found.outcome) == ("few", "fail")


def test_confidence_rises_with_the_likelihood_and_is_finite() -> None:
    found = confidence(np.array([-np.inf, -50.0, -1.0, np.log(0.5), -1e-12, 0.0]))
    assert np.isfinite(found).all()
    assert (np.diff(found) >= 0).all()
    assert found[3] == pytest.approx(0)
