import hashlib
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from residency.contract.errors import SpecError
from residency.validation import calling
from residency.validation.calling import call, call_all
from residency.validation.endpoint_spec import EndpointSpec, endpoint_of
from residency.validation.replies import read_reply

_FILE = Path(__file__).with_name("servers.py")
_SPEC = importlib.util.spec_from_file_location("servers", _FILE)
servers: Any = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(servers)

BODY = b'{"request": "7"}'


def asked(answer: Any, *, kind: str = "score", timeout: float = 5.0, **how: Any) -> calling.Called:
    with servers.server(lambda _: answer, **how) as served:
        return call(EndpointSpec(url=f"{served.url}/score", kind=kind, timeout_seconds=timeout), BODY, "7")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"score": 1.7}, "score outside 0 to 1"),
        ({"score": -0.01}, "score outside 0 to 1"),
        ({"score": "0.4"}, "score is no number"),
        ({"score": True}, "score is no number"),
        (b'{"score": NaN}', "answer is no JSON"),
        ({"score": None}, "declined"),
        ({"score": 0.4, "request": "8"}, "answer to another request"),
        ({"likely": 0.4}, "answer has no score"),
        ([0.4], "answer has no score"),
        (b"<html>0.4</html>", "answer is no JSON"),
        (b"[" * (1 << 16), "answer is no JSON"),
        (b" " * (2 << 20), "answer too large"),
    ],
)
def test_a_lie_or_nonsense_is_an_abstention_with_its_reason(answer: Any, reason: str) -> None:
    found = asked(answer)
    assert found.score is None
    assert found.reason == reason


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ('{"probability": 0.25}', 0.25),
        ('```json\n{"probability": 0.25}\n```', 0.25),
        (" 0.25 ", 0.25),
        ("1", 1.0),
        ("About 25%.", None),
        ("The probability is 0.25", None),
        ("0.25 or 0.3", None),
        ("25", None),
        ("25%", None),
        ('{"probability": 25}', None),
        ('{"probability": null}', None),
        ('{"risk": "low"}', None),
        ("", None),
        (None, None),
    ],
)
def test_a_chat_model_is_taken_at_its_number_and_prose_is_no_number(text: Any, score: float | None) -> None:
    assert asked(servers.chat(text), kind="openai").score == score


def test_prose_is_named_as_such() -> None:
    assert asked(servers.chat("I would say low."), kind="openai").reason == "answered in prose"
    assert asked({"error": "no"}, kind="openai").reason == "answer has no score"


@pytest.mark.parametrize("how", [{"seconds": 1.5}, {"drip": "body"}, {"drip": "head"}], ids=str)
def test_a_service_that_dawdles_or_drips_is_cut_off_in_time(how: dict[str, Any]) -> None:
    found = asked({"score": 0.25, "padding": "x" * 200}, timeout=0.5, **how)
    assert found.reason == "timed out"
    assert found.seconds < 1.4


@pytest.mark.parametrize("status", [500, 404, 302, 307])
def test_an_error_or_a_redirect_is_no_answer_and_nothing_is_sent_on(status: int) -> None:
    assert asked({"score": 0.25}, status=status).reason == f"status {status}"


def test_nobody_there_is_an_abstention_and_after_some_failures_the_rest_is_not_asked() -> None:
    spec = EndpointSpec(url="http://127.0.0.1:9/score", give_up_after=4, at_once=2)
    found = call_all(spec, [(str(number), BODY) for number in range(10)], lambda *_: None)
    assert [one.reason for one in found[:4]] == ["could not be reached"] * 4
    assert {one.reason for one in found[4:]} == {"not asked: too many failures in a row"}
    assert sum(one.n_bytes for one in found[4:]) == 0


def test_answers_stand_in_the_order_of_the_requests_and_the_digest_is_of_what_was_sent() -> None:
    bodies = [(str(number), f'{{"n": {number}}}'.encode()) for number in range(20)]
    with servers.server(lambda body: {"score": body["n"] / 100}) as served:
        found = call_all(EndpointSpec(url=served.url), bodies, lambda *_: None)
    assert [one.score for one in found] == [number / 100 for number in range(20)]
    assert [one.digest for one in found] == [hashlib.sha256(body).hexdigest() for _, body in bodies]


def test_the_key_is_sent_and_comes_from_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VENDOR_KEY", "secret")
    with servers.server(lambda _: {"score": 0.1}) as served:
        call(EndpointSpec(url=served.url, key_variable="VENDOR_KEY"), BODY, "7")
        assert served.seen[0]["headers"]["authorization"] == "Bearer secret"
    monkeypatch.delenv("VENDOR_KEY")
    with pytest.raises(SpecError, match="no VENDOR_KEY"):
        call(EndpointSpec(url=served.url, key_variable="VENDOR_KEY"), BODY, "7")


@pytest.mark.parametrize(
    "url", ["ftp://x/score", "http://example.org/score", "https://user:key@example.org/", "score", ""]
)
def test_an_address_that_would_leak_or_is_none_is_refused(url: str) -> None:
    with pytest.raises(SpecError, match="url must"):
        endpoint_of(url)


def test_what_a_service_speaks_is_read_off_its_address() -> None:
    spoken = {
        "https://x/residency/v1/ask": "residency",
        "https://x/openai/v1": "openai",
        "https://x/v1/chat/completions": "openai",
        "https://x/score": "score",
    }
    assert {url: endpoint_of(url).spoken for url in spoken} == spoken
    assert endpoint_of("https://x/openai/v1").address == "https://x/openai/v1/chat/completions"


def test_a_release_is_read_as_it_answers() -> None:
    golden = (Path(__file__).parents[1] / "golden" / "1" / "answer.json").read_bytes()
    assert read_reply("residency", golden, "7").score == 0.12
    wrapped = b'{"answer": ' + golden + b', "sentences": [], "banner": ""}'  # as the service sends it
    assert read_reply("residency", wrapped, "7").score == 0.12
    assert read_reply("residency", b'{"kind": "abstained", "reasons": []}', "7").reason == "declined"
