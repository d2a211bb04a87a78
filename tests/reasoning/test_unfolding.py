"""Simulated futures, told: shares of draws, nothing that was on record before, the same for the same seed."""

import re

import msgspec
import numpy as np
import pytest

from residency.contract.packed import Packed
from residency.contract.questions import Answer, Rollout
from residency.model import Model
from residency.reasoning import Index, Limits, ask

QUESTION = Rollout(horizon_days=60.0, draws=20, seed=4)


def asked(
    model: Model, packed: Packed, question: Rollout, n: int = 6, limits: Limits | None = None
) -> list[Answer]:
    index = Index(np.arange(n), packed.moment_time[packed.moment_offset[1 : n + 1] - 1])
    answers = ask(model, packed, [question], index, limits=limits)
    return [answers[row] for row in range(n)]


def test_shares_are_of_the_draws_and_lie_within_their_intervals(model: Model, packed: Packed) -> None:
    for answer in asked(model, packed, QUESTION):
        assert answer.research
        assert {one.tag for one in answer.statements} == {"future"}
        for one in answer.statements[1:]:
            if found := re.search(r"(\d+) of (\d+) \((\d+)%, (\d+)% to (\d+)%\)", one.text):
                k, n, share, low, high = map(int, found.groups())
                assert n == 20
                assert 0 <= k <= n
                assert low <= share <= high


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(held_back=True), "held_back"),
        (Limits(stalled=("LOINC",)), "stale_feed"),
        (Limits(min_moments=10_000), "too_little_history"),
        (Limits(needed=("notes",)), "modality_missing"),
    ],
)
def test_no_future_is_told_where_no_figure_would_be(
    limits: Limits, reason: str, model: Model, packed: Packed
) -> None:
    for answer in asked(model, packed, QUESTION, n=2, limits=limits):
        assert [one.reason for one in answer.abstentions] == [reason]
        assert not answer.statements


def test_the_same_seed_gives_the_same_futures_and_what_is_on_record_is_no_first(
    model: Model, packed: Packed
) -> None:
    first, again = (asked(model, packed, QUESTION) for _ in range(2))
    assert first == again
    other = asked(model, packed, msgspec.structs.replace(QUESTION, seed=5))
    assert [one.statements[0] for one in first] != [one.statements[0] for one in other]
