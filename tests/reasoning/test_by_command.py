"""The command that asks: every kind that is answered, for a person and for a machine."""

from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from residency.cli.app import app
from residency.contract.packed import Packed
from residency.contract.questions import Answer

CHANGES = 'kind = "changes"\nsince = 2015-01-01T00:00:00\n'
DRAFT = 'kind = "draft"\ndocument = "referral"\n'
FORECAST = (
    'kind = "forecast"\nevidence = true\nhorizons_days = [400.0]\n'
    'outcomes = [{ name = "kidney_disease", codes = ["ICD10CM/N18"] }]\n'
)
TREATMENT = (
    'kind = "treatment"\noptions = ["losartan"]\nhorizon_days = 365.0\n'
    'outcome = { name = "end_stage", codes = ["ICD10CM/N18"] }\n'
)


def run(model: Path, timelines: Path, packed: Packed, question: Path, *more: str) -> str:
    arguments = ["ask", str(model), str(timelines), "--subject", str(int(packed.subject[3]))]
    found = CliRunner().invoke(app, [*arguments, "--question", str(question), *more])
    assert found.exit_code == 0, found.output
    return found.stdout


@pytest.mark.parametrize("text", [CHANGES, DRAFT, TREATMENT])
def test_each_kind_is_answered_for_a_machine_and_for_a_person(
    model_folder: Path, timelines: Path, packed: Packed, tmp_path: Path, text: str
) -> None:
    question = tmp_path / "question.toml"
    question.write_text(text, "utf-8")
    answer = msgspec.json.decode(run(model_folder, timelines, packed, question, "--json"), type=Answer)
    assert f'kind = "{answer.kind}"' in text
    assert answer.statements or answer.kind == "changes"  # nothing need have changed
    words = run(model_folder, timelines, packed, question)
    assert all(one.text in words for one in answer.statements)


def test_a_forecast_says_what_moved_the_model(
    model_folder: Path, timelines: Path, packed: Packed, tmp_path: Path
) -> None:
    question = tmp_path / "question.toml"
    question.write_text(FORECAST, "utf-8")
    answer = msgspec.json.decode(run(model_folder, timelines, packed, question, "--json"), type=Answer)
    words = run(model_folder, timelines, packed, question)
    assert words.count("moved the model: ") == len(answer.moved) > 0


def test_a_language_model_that_cannot_be_reached_leaves_the_plain_draft(
    model_folder: Path, timelines: Path, packed: Packed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = tmp_path / "question.toml"
    question.write_text(DRAFT, "utf-8")
    plain = run(model_folder, timelines, packed, question)
    monkeypatch.setenv("LANGUAGE_MODEL_URL", "http://127.0.0.1:1/v1")
    worded = run(model_folder, timelines, packed, question)
    assert "[phrasing]" in worded
    assert [line for line in worded.splitlines() if "[phrasing]" not in line] == plain.splitlines()
