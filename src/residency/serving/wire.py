"""In: the body of a chat request, or an answer. Out: it typed, or as OpenAI and Azure clients read it."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Raw, Struct

from residency.contract.errors import InputError
from residency.contract.questions import Answer, Modality
from residency.serving.documents import Sent
from residency.serving.sentences import sentences_of

_WORDS_A_CHUNK: Final = 8


class PatientContext(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One patient, one time, one question. One of `fhir`, `meds` and `subject_id` is given.

    Attributes:
        fhir: a FHIR R4 Bundle about one patient.
        meds: MEDS rows about one patient.
        notes: rows of notes of that patient, beside `fhir` or `meds`.
        images: rows of images, each with its pixels.
        variants: rows of variants.
        subject_id: a patient of the institution's own panel.
        as_of: only what was available by then is looked at; now where absent.
        times: several such times, for a trajectory; at most 60.
        question: of the contract; all that the release was examined for where absent.
        modalities: what may be used, codes among them, where the question does not say; all where absent.
    """

    fhir: Raw = Raw()
    meds: Raw = Raw()
    notes: Raw = Raw()
    images: Raw = Raw()
    variants: Raw = Raw()
    subject_id: str | int | None = None
    as_of: datetime | None = None
    times: Annotated[list[datetime], msgspec.Meta(max_length=60)] = []
    question: Raw = Raw()
    modalities: tuple[Modality, ...] | None = None

    def __post_init__(self) -> None:
        if self.modalities is not None and "codes" not in self.modalities:
            raise ValueError("codes are always used")

    @property
    def sent(self) -> Sent:
        """Rows of notes, images and variants that came beside.

        Raises:
            InputError: they came beside a patient of the panel, whose own are used.
        """
        rows = {name: getattr(self, name) for name in ("notes", "images", "variants")}
        given = {name: bytes(raw) for name, raw in rows.items() if is_given(raw)}
        if given and self.subject_id is not None:
            raise InputError("a patient of the panel has documents of their own", where="patient_context")
        return Sent(**given)

    @property
    def source(self) -> str:
        """Which of the three it came as.

        Raises:
            InputError: none of them, or more than one.
        """
        given = [name for name in ("fhir", "meds") if is_given(getattr(self, name))]
        given += ["subject_id"] if self.subject_id is not None else []
        if len(given) != 1:
            raise InputError(
                "a patient is given as one of fhir, meds and subject_id", where="patient_context"
            )
        return given[0]


def is_given(part: Raw) -> bool:
    """Say whether a part of a request is there, and not null."""
    return bytes(part) not in (b"", b"null")


class JsonSchema(Struct, frozen=True):
    """What a caller wants the content to look like."""

    name: str = ""


class ResponseFormat(Struct, frozen=True):
    """`text`, `json_object` or `json_schema`."""

    type: str = "text"
    json_schema: JsonSchema | None = None


class StreamOptions(Struct, frozen=True):
    """What a stream ends with."""

    include_usage: bool = False


class ChatRequest(Struct, frozen=True):
    """What we read of a chat request; the rest (temperature, …) changes nothing here."""

    model: str = ""
    messages: list[Any] = []
    stream: bool = False
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat = ResponseFormat()
    patient_context: PatientContext | None = None


def read_chat(body: bytes) -> ChatRequest:
    """Read a chat request.

    Raises:
        InputError: names what is wrong, not what it holds.
    """
    request: ChatRequest = _read(body, ChatRequest)
    return request


def read_context(body: bytes) -> PatientContext:
    """Read the body of `POST /residency/v1/ask`.

    Raises:
        InputError: names what is wrong, not what it holds.
    """
    context: PatientContext = _read(body, PatientContext)
    return context


def _read(body: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        where = str(error).rpartition(" - at ")[2].strip("`") if " - at `" in str(error) else ""
        raise InputError(
            "a key of the request is missing, unknown, or of the wrong type", where=where
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InputError("the request is no JSON") from None


class Chat(Struct, frozen=True, kw_only=True):
    """One answered chat request.

    Attributes:
        identity: of the answer; random.
        created: when.
        model: name of the release.
        answer: what was answered.
        wants_json: whether the content is the answer itself, rather than sentences.
        banner: shown with every answer of a demo.
    """

    identity: str
    created: int
    model: str
    answer: Answer
    wants_json: bool
    banner: str = ""

    @property
    def content(self) -> str:
        """What the assistant says."""
        if self.wants_json:
            return msgspec.json.encode(self.answer).decode()
        return f"{self.banner} {sentences_of(self.answer)}".strip()

    @property
    def usage(self) -> dict[str, int]:
        """Words, in place of tokens: nothing here is billed by the token."""
        words = len(self.content.split())
        return {"prompt_tokens": 0, "completion_tokens": words, "total_tokens": words}

    def body(self) -> dict[str, Any]:
        """The answer to a request that does not stream."""
        message = {"role": "assistant", "content": self.content, "refusal": None, "tool_calls": None}
        return {
            **self._head("chat.completion"),
            "choices": [{"index": 0, "finish_reason": "stop", "logprobs": None, "message": message}],
            "usage": self.usage,
            "residency": self._ours(),
        }

    def events(self, *, include_usage: bool) -> Iterator[bytes]:
        """The answer as server-sent events: `data:` lines and LF only, which the strictest client needs."""
        head = self._head("chat.completion.chunk")
        yield _event(
            {**head, "choices": [_delta({"role": "assistant", "content": ""})], "residency": self._ours()}
        )
        words = self.content.split(" ")
        for start in range(0, len(words), _WORDS_A_CHUNK):
            text = " ".join(words[start : start + _WORDS_A_CHUNK])
            last = start + _WORDS_A_CHUNK >= len(words)
            yield _event({**head, "choices": [_delta({"content": text if last else f"{text} "})]})
        yield _event({**head, "choices": [_delta({}, "stop")]})
        if include_usage:
            yield _event({**head, "choices": [], "usage": self.usage})
        yield b"data: [DONE]\n\n"

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.identity, "object": kind, "created": self.created, "model": self.model}

    def _ours(self) -> dict[str, Any]:
        return {"answer": msgspec.to_builtins(self.answer), "banner": self.banner}


def _delta(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _event(chunk: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


def models_body(names: tuple[str, ...], created: int) -> dict[str, Any]:
    """The list of models."""
    data = [{"id": name, "object": "model", "created": created, "owned_by": "residency"} for name in names]
    return {"object": "list", "data": data}
