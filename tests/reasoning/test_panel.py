"""The same question about everybody: in the order of single answers, nobody lost, progress told."""

from functools import partial

import numpy as np
import pytest
from typer.testing import CliRunner

from residency.cli.app import app
from residency.contract.errors import QuestionError
from residency.contract.processes import spread
from residency.contract.questions import Changes, Differential, Draft, Forecast, Outcome
from residency.model import Model
from residency.reasoning import Index, Triage, ask
from residency.reasoning.answers import instant
from residency.timeline import Timelines

STAGE = Outcome(name="chronic_kidney_disease", codes=("ICD10CM/N18",))
FORECAST = Forecast(outcomes=(STAGE,), horizons_days=(30.0, 365.25))


@pytest.fixture(scope="module")
def clinic(timelines) -> Timelines:
    return Timelines.open(timelines)


def test_the_most_urgent_are_those_of_the_highest_risk_when_asked_one_by_one(
    model: Model, clinic: Timelines
) -> None:
    (packed,) = clinic.shards
    heard: list[tuple[int, int | None]] = []
    found = Triage(model, clinic, FORECAST).first(12, lambda what, done, total: heard.append((done, total)))
    latest = packed.moment_time[packed.moment_offset[1:] - 1]
    risk = ask(model, packed, [FORECAST], Index(np.arange(packed.n_patients), latest)).risk[:, 1]
    best = np.argsort(-np.nan_to_num(risk, nan=-1))[:12]
    assert [one.urgency for one in found] == pytest.approx(risk[best].tolist(), abs=1e-5)
    assert {one.subject for one in found[:6]} <= set(packed.subject[best].tolist())
    assert heard[-1] == (packed.n_patients, packed.n_patients)


def test_several_processes_answer_as_one_does(model: Model, clinic: Timelines) -> None:
    panel = Triage(model, clinic, FORECAST)
    over = partial(spread, n_processes=1)
    assert list(panel.patients(over=over)) == list(panel.patients())


@pytest.mark.parametrize("kind", ["changes", "differential"])
def test_other_kinds_rank_too_and_answer_as_they_do_alone(model: Model, clinic: Timelines, kind: str) -> None:
    (packed,) = clinic.shards
    as_of = int(np.median(packed.moment_time[packed.moment_offset[1:] - 1]))
    question = (
        Changes(since=instant(as_of - 10**14)) if kind == "changes" else Differential(candidates=(STAGE,))
    )
    found = list(Triage(model, clinic, question, as_of).patients())
    assert len(found) == packed.n_patients
    one = max(found, key=lambda urgent: urgent.urgency)
    row = int(np.flatnonzero(packed.subject == one.subject)[0])
    records = Triage(model, clinic, question)._beside(0)[1]
    alone = ask(model, packed, [question], Index(np.array([row]), np.array([as_of])), records=records)[0]
    assert [said.text for said in alone.statements if said.tag != "moved_model"] == [
        said.text for said in one.answer.statements
    ]


def test_what_does_not_rank_is_refused(model: Model, clinic: Timelines) -> None:
    with pytest.raises(QuestionError, match="not ranked"):
        Triage(model, clinic, Draft(document="referral"))


def test_the_command_prints_the_most_urgent_and_writes_all(model_folder, timelines, tmp_path) -> None:
    question = tmp_path / "question.toml"
    question.write_text(
        'kind = "forecast"\noutcomes = [{ name = "kidney_disease", codes = ["ICD10CM/N18"] }]\n'
    )
    out = tmp_path / "all.jsonl"
    done = CliRunner().invoke(
        app,
        [
            "triage",
            str(model_folder),
            str(timelines),
            "--question",
            str(question),
            "--top",
            "3",
            "--out",
            str(out),
        ],
    )
    assert done.exit_code == 0, done.output
    assert done.stdout.count("\n") >= 4
    assert len(out.read_text().splitlines()) == Timelines.open(timelines).n_patients
