"""Patients like this one: groups that cannot be subtracted, counts that tell of no few, and attacks."""

import msgspec
import numpy as np
import pytest

from residency.contract.errors import QuestionError
from residency.contract.packed import Packed
from residency.contract.questions import LikeThis, Outcome
from residency.model import Model
from residency.reasoning import Index, Limits, alike_of, ask
from residency.reasoning.alike import HORIZONS_DAYS, LEAST, Alike, _divided
from residency.reasoning.outcomes import Family
from residency.timeline import Timelines

STAGE = Outcome(name="kidney_disease", codes=("ICD10CM/N18",))
QUESTION = LikeThis(outcomes=(STAGE,), horizon_days=365.25, n_nearest=40)


@pytest.fixture(scope="module")
def alike(model: Model, timelines) -> Alike:
    return alike_of(model, Timelines.open(timelines))


def invented(n: int, seed: int, family: Family) -> Alike:
    rng = np.random.default_rng(seed)
    zeros = np.zeros(n, np.int64)
    key = rng.integers(2**62, size=n)
    return _divided(rng.standard_normal((n, 4)), key, zeros, (zeros, np.arange(n)), (), family)


def test_groups_are_nested_or_apart_and_what_one_has_more_than_another_is_never_few(alike: Alike) -> None:
    members = [frozenset(alike.members(n).tolist()) for n in range(len(alike.groups))]
    assert len(members) > 5
    for one in members:
        for other in members:
            assert len(one - other) == 0 or len(one - other) >= LEAST
            assert not one & other or one <= other or other <= one


def test_everybody_falls_into_the_group_that_they_are_a_member_of(model: Model) -> None:
    family = Family(model.vocabulary, model.targets)
    rng = np.random.default_rng(1)
    state = rng.standard_normal((300, 4))
    zeros = np.zeros(300, np.int64)
    made = _divided(state, zeros, zeros, (zeros, np.arange(300)), (), family)
    for row in range(300):
        path = made.path(state[row])
        assert all(row in made.members(group) for group in path)
        assert len(made.members(path[-1])) < 4 * LEAST
        assert len(made.members(made.group_of(state[row], 60))) >= 60


def test_no_count_under_eleven_is_ever_told_and_the_same_people_get_the_same_noise(model: Model) -> None:
    made = invented(2_000, 2, Family(model.vocabulary, model.targets))
    rng = np.random.default_rng(3)
    for _ in range(500):
        n = int(rng.integers(0, 60))
        some = rng.choice(2_000, n, replace=False)
        told = made.published(some)
        assert told == made.published(rng.permutation(some))
        assert (told is None) if n < LEAST else (told is None or (told >= LEAST and told % 5 == 0))
        assert told is None or abs(told - n) <= 8


def test_one_who_subtracts_answers_learns_next_to_nothing_of_one_patient(model: Model) -> None:
    """The worst case: the attacker knows all others who are counted; is the target among them?

    A count with the target and one without differ by 1. Over many worlds the attacker who sees the answer and
    guesses as well as anybody could is right at most one time in nine more often than chance.
    """
    made = invented(4_000, 4, Family(model.vocabulary, model.targets))
    rng = np.random.default_rng(5)
    for n in (12, 25, 60):
        worlds = [rng.choice(4_000, n + 1, replace=False) for _ in range(3_000)]
        there = [made.published(one) for one in worlds]
        absent = [made.published(one[1:]) for one in worlds]
        seen = sorted({*there, *absent}, key=str)
        apart = sum(abs(there.count(one) - absent.count(one)) for one in seen) / (2 * len(worlds))
        assert apart < 1 / 9 + 0.05


def test_subtracting_the_two_halves_from_the_whole_does_not_give_the_counts_back(alike: Alike) -> None:
    """Halves and whole have noise of their own: what is left over is not the count of the other half."""
    exact, differences = [], []
    for group, (left, right) in enumerate(alike.halves):
        if left < 0:
            continue
        told = [alike.published(alike.members(int(one))) for one in (group, left, right)]
        if None in told:
            continue
        differences.append(told[0] - told[1])
        exact.append(len(alike.members(int(right))))
    assert len(exact) > 3
    assert np.abs(np.array(differences) - np.array(exact)).max() > 1


def test_a_patient_is_told_of_in_sentences_with_rounded_counts_alone(
    model: Model, packed: Packed, alike: Alike
) -> None:
    index = Index(np.arange(20), packed.moment_time[packed.moment_offset[1:21] - 1])
    answers = ask(model, packed, [QUESTION], index, alike=alike)
    for row in range(20):
        numbers = [
            int(word) for one in answers[row].statements[1:] for word in one.text.split() if word.isdigit()
        ]
        assert all(number >= LEAST for number in numbers if number != 365)
        assert answers[row].research
        assert not answers[row].risks
        assert {one.tag for one in answers[row].statements} == {"alike"}


def test_the_true_count_lies_near_what_is_told(model: Model, packed: Packed, alike: Alike) -> None:
    told = alike.fared(0, STAGE, 365.25)
    ever = [
        any(
            model.vocabulary.codes[c].startswith("ICD10CM/N18") for c in packed.event_code[_events(packed, p)]
        )
        for p in range(packed.n_patients)
    ]
    assert told.had is not None
    assert 0 < told.had <= sum(ever) + 8


def _events(packed: Packed, patient: int) -> slice:
    moments = packed.moments_of(patient)
    return slice(int(packed.event_offset[moments.start]), int(packed.event_offset[moments.stop]))


def test_unions_of_codes_other_horizons_and_bounds_are_refused(
    model: Model, packed: Packed, alike: Alike
) -> None:
    index = Index(np.zeros(1, np.int64), packed.moment_time[packed.moment_offset[1:2] - 1])
    union = Outcome(name="both", codes=("ICD10CM/N18.3", "ICD10CM/N18.4"))
    for change in ({"outcomes": (union,)}, {"horizon_days": 366.0}):
        with pytest.raises(QuestionError):
            ask(model, packed, [msgspec.structs.replace(QUESTION, **change)], index, alike=alike)
    with pytest.raises(QuestionError, match="no train patients"):
        ask(model, packed, [QUESTION], index)
    assert 365.25 in HORIZONS_DAYS


def test_nobody_is_held_against_others_of_whom_figures_are_withheld(
    model: Model, packed: Packed, alike: Alike
) -> None:
    index = Index(np.arange(1), packed.moment_time[packed.moment_offset[1:2] - 1])
    withheld = ask(model, packed, [QUESTION], index, alike=alike, limits=Limits(held_back=True))[0]
    assert [one.reason for one in withheld.abstentions] == ["held_back"]
    assert not withheld.statements
