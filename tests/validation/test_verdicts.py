import numpy as np
import polars as pl
import pytest

from residency.validation.figures import Rules
from residency.validation.judging import Judged, judged_of
from residency.validation.measuring import Course
from residency.validation.verdicts import VerdictRules, cautions_of, say


def judged(kind: str, n: int = 3_000, *, seed: int = 0, silent: float = 0.0) -> Judged:
    """A world in which the right word is known."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(-2.3, 1.1, n)
    label = rng.random(n) < 1 / (1 + np.exp(-truth))
    at = {
        "right": truth,
        "bold": 2 * truth + 2.5,
        "high": truth + 1.5,
        "noise": rng.normal(-2.3, 1, n),
        "turned": -truth - 4.6,
        "constant": np.full(n, -2.0),
    }[kind]
    score = np.where(rng.random(n) < silent, np.nan, 1 / (1 + np.exp(-at)))
    rows = pl.DataFrame(
        {
            "subject_id": np.arange(n),
            "prediction_time": pl.Series([None] * n, dtype=pl.Datetime("us")),
            "event_time": pl.Series([None] * n, dtype=pl.Datetime("us")),
            "label": label,
            "score": score,
            "weight": np.ones(n),
        }
    )
    return judged_of(rows, Rules(0.1, {}), Course(200, 0), "test")


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("right", "use"),
        ("bold", "recalibrate"),
        ("high", "recalibrate"),
        ("noise", "do not use"),
        ("turned", "do not use"),
        ("constant", "do not use"),
    ],
)
def test_the_word_is_right_where_the_truth_is_known(kind: str, word: str) -> None:
    said = say(judged(kind), VerdictRules())
    assert said.word == word
    assert all(said.why)


def test_a_score_that_is_turned_round_is_named() -> None:
    assert "turned round" in say(judged("turned"), VerdictRules()).why[0]


def test_too_few_outcomes_cannot_tell_and_say_how_many_would_do() -> None:
    said = say(judged("right", n=300), VerdictRules())
    assert said.word == "cannot tell"
    assert "would be enough" in said.why[1]


def test_silence_cannot_tell() -> None:
    said = say(judged("right", silent=0.4), VerdictRules())
    assert said.word == "cannot tell"
    assert "answered" in said.why[0]


def test_no_outcome_at_all_cannot_tell() -> None:
    none = judged("right", n=3)
    assert say(none, VerdictRules()).word == "cannot tell"


def test_recalibration_gains_where_risks_are_off_and_nowhere_else() -> None:
    off, right = judged("bold"), judged("right")
    assert off.gain is not None
    assert right.gain is not None
    assert off.gain["log_loss"].metric.low > 0
    assert off.gain["ici"].metric.low > 0
    assert right.gain["log_loss"].metric.low < 0


def test_a_small_share_of_answers_is_a_caution() -> None:
    found = cautions_of(judged("right", silent=0.1), {}, [], {"outcome not known": 900})
    assert any("gave no answer" in line for line in found)
    assert any("not known" in line for line in found)
