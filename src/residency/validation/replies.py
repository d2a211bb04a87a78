"""In: what a service answered, byte for byte. Out: a probability, or the fixed reason why there is none.

Nothing is read into an answer: prose, two numbers, a percentage, a number outside 0 to 1 or an answer to
another request are abstentions, each counted under its reason.
"""

import math
import re
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from residency.validation.endpoint_spec import Kind

PROSE: Final = "answered in prose"
NO_JSON: Final = "answer is no JSON"
NO_SCORE: Final = "answer has no score"
NO_NUMBER: Final = "score is no number"
OUTSIDE: Final = "score outside 0 to 1"
OTHER: Final = "answer to another request"
DECLINED: Final = "declined"
_NOTHING: Final = object()
_FENCE: Final = re.compile(r"^```(?:json)?\s*(.*?)\s*```$", re.DOTALL)
_NUMBER: Final = re.compile(r"^(?:0|1|0?\.\d+|0\.\d+|1\.0+|\d(?:\.\d+)?e-\d+)$", re.IGNORECASE)


@dataclass(frozen=True)
class Reply:
    """A probability, or why there is none."""

    score: float | None
    reason: str = ""


def read_reply(kind: Kind, body: bytes, request: str) -> Reply:
    """Read an answer.

    Args:
        kind: of the service.
        body: of its answer.
        request: the number that the answer, where it repeats one, must repeat.
    """
    answer = _decoded(body)
    if answer is _NOTHING:
        return Reply(None, NO_JSON)
    if not isinstance(answer, dict):
        return Reply(None, NO_SCORE)
    if answer.get("request", request) != request:
        return Reply(None, OTHER)
    return {"score": _of_score, "openai": _of_chat, "residency": _of_release}[kind](answer)


def _decoded(body: bytes) -> object:
    """Read JSON; `_NOTHING` where it is none, or nested beyond reason."""
    try:
        found: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _NOTHING
    return found


def _of_score(answer: dict[str, Any]) -> Reply:
    for key in ("score", "probability", "risk"):
        if key in answer:
            return _number(answer[key])
    return Reply(None, NO_SCORE)


def _of_chat(answer: dict[str, Any]) -> Reply:
    try:
        text = answer["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        return Reply(None, NO_SCORE)
    if not isinstance(text, str):
        return Reply(None, NO_SCORE)
    plain = _FENCE.sub(r"\1", text.strip())
    if _NUMBER.match(plain):
        return _number(float(plain))
    said = _decoded(plain.encode())
    if isinstance(said, dict) and "probability" in said:
        return _number(said["probability"])
    return (
        _number(said) if isinstance(said, int | float) and not isinstance(said, bool) else Reply(None, PROSE)
    )


def _of_release(answer: dict[str, Any]) -> Reply:
    inner = answer.get("answer", answer)  # as `/residency/v1/ask` wraps it
    risks = inner.get("risks") if isinstance(inner, dict) else None
    if not isinstance(risks, list) or not risks:
        return Reply(None, DECLINED)
    read = [_number(one.get("probability")) for one in risks if isinstance(one, dict)]
    wrong = [one for one in read if one.score is None]
    if wrong or len(read) != len(risks):
        return wrong[0] if wrong else Reply(None, NO_SCORE)
    early, last = (read[0].score or 0.0 if len(read) > 1 else 0.0), read[-1].score or 0.0
    return _number(
        (last - early) / (1 - early) if early < 1 else math.nan
    )  # with a gap: given none came in it


def _number(value: object) -> Reply:
    if value is None:
        return Reply(None, DECLINED)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return Reply(None, NO_NUMBER)
    return Reply(float(value)) if 0 <= value <= 1 else Reply(None, OUTSIDE)
