import json
from pathlib import Path

import jsonschema
import msgspec
import pytest

from residency.contract.errors import QuestionError
from residency.contract.questions import KINDS, Answer, read_question, schemas

GOLDEN = Path(__file__).parents[1] / "golden" / "1"
SCHEMAS = Path(__file__).parents[2] / "src" / "residency" / "contract" / "schemas"


@pytest.mark.parametrize("kind", KINDS)
def test_the_golden_question_of_each_kind_still_opens_and_writes_itself_again(kind: str) -> None:
    body = (GOLDEN / f"question.{kind}.json").read_bytes()
    question = read_question(body)
    assert json.loads(msgspec.json.encode(question)) == json.loads(body)
    jsonschema.validate(json.loads(body), schemas()["question"])


def test_the_golden_answer_still_opens_and_writes_itself_again() -> None:
    body = (GOLDEN / "answer.json").read_bytes()
    answer = msgspec.json.decode(body, type=Answer)
    assert json.loads(msgspec.json.encode(answer)) == json.loads(body)
    jsonschema.validate(json.loads(body), schemas()["answer"])


@pytest.mark.parametrize("name", ["question", "answer"])
def test_the_committed_schemas_are_those_of_the_classes(name: str) -> None:
    assert json.loads((SCHEMAS / f"{name}.json").read_text()) == schemas()[name]


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "forecast", "outcomes": [{"name": "CANARY"}]},
        {"kind": "forecast", "outcomes": [{"name": "a", "codes": ["b"], "CANARY": 1}]},
        {"kind": "CANARY"},
        {"kind": "forecast", "outcomes": [{"name": "a", "codes": ["b"]}], "horizons_days": [-1]},
        {"kind": "draft", "document": "CANARY"},
        b"CANARY",
    ],
)
def test_a_question_that_cannot_be_read_is_refused_without_repeating_it(
    body: dict[str, object] | bytes,
) -> None:
    with pytest.raises(QuestionError) as caught:
        read_question(body)
    assert "CANARY" not in str(caught.value)


def test_a_question_may_say_what_is_to_be_used_and_codes_always_are() -> None:
    body = {"kind": "forecast", "outcomes": [{"name": "a", "codes": ["b"]}]}
    assert "modalities" not in json.loads(msgspec.json.encode(read_question(body)))
    chosen = read_question({**body, "modalities": ["codes", "notes"]})
    assert json.loads(msgspec.json.encode(chosen))["modalities"] == ["codes", "notes"]
    for modalities in (["notes"], ["codes", "smells"]):
        with pytest.raises(QuestionError):
            read_question({**body, "modalities": modalities})
