"""Populations: a figure is withheld where it failed for a group, and warned about where nobody knows."""

from datetime import datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient

from residency.contract.questions import Answer, Forecast, Freshness, Outcome, Risk
from residency.release import Allowed, ExaminedTask
from residency.serving.populations import Populations, doubts_of
from residency.serving.sentences import sentences_of

AT = datetime(2024, 3, 1)  # noqa: DTZ001 - wall clock
DEATH = Outcome(name="death", codes=("MEDS_DEATH",))
ITEM = Allowed(
    examined=ExaminedTask(task="death_1y", outcome=DEATH, horizons_days=(365.25,)),
    populations={
        "all": "pass",
        "group=sex=male": "fail",
        "group=age=80_and_over": "insufficient",
        "site=north": "pass",
    },
)
QUESTION = Forecast(outcomes=(Outcome(name="mine", codes=("MEDS_DEATH",)),), horizons_days=(30.0, 365.25))
ANSWER = Answer(
    kind="forecast",
    subject="7",
    as_of=AT,
    release="0" * 64,
    freshness=Freshness(latest=AT, age_days=1.0),
    risks=(
        Risk(outcome="mine", horizon_days=30.0, probability=0.1),
        Risk(outcome="mine", horizon_days=365.25, probability=0.2),
    ),
)


def horizons(answer: Answer) -> list[float]:
    return [risk.horizon_days for risk in answer.risks]


def test_a_figure_is_withheld_where_its_group_failed_and_only_that_figure() -> None:
    doubts = doubts_of([QUESTION], ITEM, ("group=sex=male", "site=north"))
    judged = Populations({}, "warn").judged(ANSWER, doubts)
    assert horizons(judged) == [30.0]
    (abstention,) = judged.abstentions
    assert (abstention.reason, abstention.outcome, abstention.detail) == (
        "group_not_validated",
        "mine",
        "sex: male",
    )


def test_where_nobody_knows_the_policy_decides() -> None:
    doubts = doubts_of([QUESTION], ITEM, ("group=age=80_and_over",))
    warned = Populations({}, "warn").judged(ANSWER, doubts)
    assert horizons(warned) == [30.0, 365.25]
    assert "too few events were examined" in sentences_of(warned)
    withheld = Populations({}, "abstain").judged(ANSWER, doubts)
    assert horizons(withheld) == [30.0]
    assert withheld.statements == ()


def test_a_real_patient_of_a_failed_group_gets_no_such_figure(client: TestClient, world: Any) -> None:
    for number, sex in ((4, "female"), (5, "male")):
        asked = {"fhir": world.bundles[number], "as_of": "2022-06-01T00:00:00"}
        answer = client.post("/residency/v1/ask", json=asked).json()["answer"]
        reasons = {one["outcome"]: one["reason"] for one in answer["abstentions"]}
        assert ("hypertension" in {risk["outcome"] for risk in answer["risks"]}) == (sex == "female")
        assert reasons.get("hypertension") == (None if sex == "female" else "group_not_validated")


@pytest.mark.parametrize("slices", [("site=north",), ("group=sex=female",), ()])
def test_whoever_is_in_no_doubtful_group_gets_every_figure(slices: tuple[str, ...]) -> None:
    assert Populations({}, "abstain").judged(ANSWER, doubts_of([QUESTION], ITEM, slices)) == ANSWER
