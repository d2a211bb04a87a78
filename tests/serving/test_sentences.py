"""Sentences: the same answer, the same words; no figure is ever 0% or 100%."""

from datetime import datetime
from typing import get_args

from residency.contract.questions import (
    Abstention,
    AbstentionReason,
    Answer,
    Freshness,
    Interval,
    Risk,
)
from residency.serving.sentences import WHY_NOT, sentences_of

AT = datetime(2024, 3, 1)  # noqa: DTZ001 - wall clock


def answer(**changes: object) -> Answer:
    fixed: dict[str, object] = {
        "kind": "forecast",
        "subject": "7",
        "as_of": AT,
        "release": "0" * 64,
        "freshness": Freshness(latest=AT, age_days=12.0),
    }
    return Answer(**{**fixed, **changes})  # type: ignore[arg-type]


def test_an_answer_is_said_with_its_interval_and_its_age() -> None:
    risk = Risk(
        outcome="type_2_diabetes",
        horizon_days=365.25,
        probability=0.123,
        interval=Interval(low=0.08, high=0.2),
    )
    assert sentences_of(answer(risks=(risk,))) == (
        "Risk of type 2 diabetes within 1 year: 12% (90% interval 8.0% to 20%). "
        "The newest record is 12 days old. "
        "Not a cleared medical device; a low figure does not rule anything out."
    )


def test_nothing_is_certain() -> None:
    for probability, words in ((0.0, "less than 0.1%"), (1.0, "more than 99%")):
        risk = Risk(outcome="death", horizon_days=30.0, probability=probability)
        assert words in sentences_of(answer(risks=(risk,)))


def test_every_reason_for_no_figure_has_its_words() -> None:
    assert set(WHY_NOT) == set(get_args(AbstentionReason))
    said = sentences_of(answer(abstentions=(Abstention(reason="stale_feed", outcome="death"),)))
    assert "No figure for death: the newest record is too old." in said
