"""The OpenAI and Azure shapes, and the official client against a real server on loopback."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

CHAT = "/openai/v1/chat/completions"
AS_OF = "2022-06-01T00:00:00"


def chat(context: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": "residency",
        "messages": [{"role": "user", "content": "What is likely?"}],
        **more,
    }
    return body if context is None else {**body, "patient_context": context}


@pytest.fixture
def context(world: Any) -> dict[str, Any]:
    return {"fhir": world.bundles[4], "as_of": AS_OF}


@pytest.mark.parametrize(
    "path",
    [
        CHAT,
        "/openai/deployments/residency/chat/completions",
        "/openai/v1/deployments/residency/chat/completions",
    ],
)
def test_a_chat_answer_has_every_key_that_clients_read(
    client: TestClient, context: dict[str, Any], path: str
) -> None:
    body = client.post(path, json=chat(context)).json()
    (choice,) = body["choices"]
    assert body["object"] == "chat.completion"
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["role"] == "assistant"
    assert set(body["usage"]) == {"prompt_tokens", "completion_tokens", "total_tokens"}
    content = choice["message"]["content"]
    assert content.startswith("DEMO")
    assert "within 1 year" in content
    assert "does not rule anything out" in content
    assert body["residency"]["answer"]["kind"] == "forecast"


def test_the_content_follows_from_the_answer(client: TestClient, context: dict[str, Any]) -> None:
    first, second = (client.post(CHAT, json=chat(context)).json() for _ in range(2))
    assert first["choices"][0]["message"] == second["choices"][0]["message"]
    assert first["residency"] == second["residency"]
    assert first["id"] != second["id"]


def test_a_schema_in_the_request_makes_the_content_the_answer(
    client: TestClient, context: dict[str, Any]
) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {}, "strict": True}}
    body = client.post(CHAT, json=chat(context, response_format=wanted)).json()
    assert json.loads(body["choices"][0]["message"]["content"]) == body["residency"]["answer"]


def test_a_stream_is_data_lines_and_line_feeds_only(client: TestClient, context: dict[str, Any]) -> None:
    usage = {"include_usage": True}
    answer = client.post(CHAT, json=chat(context, stream=True, stream_options=usage))
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "\r" not in answer.text
    lines = [line for line in answer.text.split("\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] > 0
    assert chunks[-2]["choices"][0] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks[:-1])
    whole = client.post(CHAT, json=chat(context)).json()
    assert text == whole["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    ("body", "key", "status", "code"),
    [
        (chat({"subject_id": "1"}), "", 401, "invalid_api_key"),
        (chat(None), "res_ward", 422, "unprocessable"),
        ({**chat({"subject_id": "1"}), "model": "gpt"}, "res_ward", 404, "not_found"),
        (chat({"subject_id": "CANARY"}), "res_ward", 422, "unprocessable"),
        ({"messages": "CANARY"}, "res_ward", 422, "unprocessable"),
    ],
)
def test_an_error_has_the_shape_that_clients_read(
    client: TestClient, body: dict[str, Any], key: str, status: int, code: str
) -> None:
    answer = client.post(CHAT, json=body, headers={"api-key": key})
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"code", "message", "param", "type"}
    assert answer.json()["error"]["code"] == answer.headers["x-ms-error-code"] == code
    assert "CANARY" not in answer.text


def test_an_unknown_openai_path_answers_in_the_same_shape(client: TestClient) -> None:
    assert client.post("/openai/v1/embeddings", json={}).json()["error"]["code"] == "not_found"


@pytest.fixture
def url(world: Any, audit: Path, free_port: int, running: Callable[[FastAPI, int], str]) -> str:
    return running(world.app(audit), free_port)


@pytest.mark.server
def test_the_official_client_chats_streams_and_lists(url: str, context: dict[str, Any]) -> None:
    with openai.OpenAI(base_url=f"{url}/openai/v1", api_key="res_ward", max_retries=0) as client:
        messages: Any = [{"role": "user", "content": "What is likely?"}]
        extra = {"patient_context": context}
        whole = client.chat.completions.create(model="residency", messages=messages, extra_body=extra)
        assert "Risk of" in (whole.choices[0].message.content or "")
        assert whole.model_extra is not None
        assert whole.model_extra["residency"]["answer"]["release"]
        assert whole.model_extra["residency"]["answer"]["modalities"] == ["codes", "notes"]
        bare = {"patient_context": {**context, "modalities": ["codes"]}}
        coded = client.chat.completions.create(model="residency", messages=messages, extra_body=bare)
        assert coded.model_extra is not None
        assert coded.model_extra["residency"]["answer"]["modalities"] == ["codes"]
        stream = client.chat.completions.create(
            model="residency", messages=messages, extra_body=extra, stream=True
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        assert text == whole.choices[0].message.content
        assert {model.id for model in client.models.list()} >= {"residency", whole.model}


@pytest.mark.server
def test_the_official_client_reads_our_refusals(url: str, context: dict[str, Any]) -> None:
    messages: Any = [{"role": "user", "content": "What is likely?"}]
    extra = {"patient_context": context}
    stranger = openai.OpenAI(base_url=f"{url}/openai/v1", api_key="wrong", max_retries=0)
    with stranger, pytest.raises(openai.AuthenticationError):
        stranger.chat.completions.create(model="residency", messages=messages, extra_body=extra)
    with openai.OpenAI(base_url=f"{url}/openai/v1", api_key="res_ward", max_retries=0) as client:
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="other", messages=messages, extra_body=extra)
        with pytest.raises(openai.UnprocessableEntityError) as refused:
            client.chat.completions.create(model="residency", messages=messages)
        assert refused.value.code == "unprocessable"


@pytest.mark.server
def test_the_official_azure_client_is_answered_too(url: str, context: dict[str, Any]) -> None:
    with openai.AzureOpenAI(
        azure_endpoint=url, api_key="res_ward", api_version="2024-10-21", max_retries=0
    ) as client:
        messages: Any = [{"role": "user", "content": "What is likely?"}]
        whole = client.chat.completions.create(
            model="residency", messages=messages, extra_body={"patient_context": context}
        )
        assert "Risk of" in (whole.choices[0].message.content or "")


@pytest.mark.server
def test_a_server_refuses_an_address_that_its_release_has_not_earned(world: Any, tmp_path: Path) -> None:
    from residency.contract.errors import GateError
    from residency.serving import serve

    with pytest.raises(GateError, match="opened for loopback"):
        serve(world.app(tmp_path / "audit.db"), host="0.0.0.0", port=1)
