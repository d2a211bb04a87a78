"""In: a question as Python, TOML, JSON or HTTP. Out: one frozen type a question, one type of answer.

`kind` tells the questions apart. The keys are the same everywhere; unknown keys are refused. The JSON
Schemas in `contract/schemas/` are written from these classes, and checked to be current.
"""

from datetime import datetime
from math import inf
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from residency.contract.errors import QuestionError

Probability = Annotated[float, Meta(ge=0.0, le=1.0)]
Days = Annotated[float, Meta(gt=0.0)]
Occurrence = Literal["any", "incident", "recurrent"]
Modality = Literal["codes", "notes", "images", "variants"]
AbstentionReason = Literal[
    "not_examined",
    "out_of_distribution",
    "too_little_history",
    "stale_feed",
    "modality_missing",
    "group_not_validated",
    "already_present",
    "never_present",
    "outside_observation",
    "held_back",
]


class _Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all parts of questions and answers are: frozen, by keyword, closed."""


class Outcome(_Part, frozen=True, kw_only=True):
    """What may happen: any of some codes (their descendants count), or a label that the data set defines.

    Attributes:
        name: for people and reports, for example `type_2_diabetes`.
        codes: any of these; empty where `label` is given.
        label: a task in `labels/`; None where codes are given.
        above: the event counts only with a value above this, in the code's unit.
        below: the event counts only with a value below this.
        before: codes that end the window, descendants too: what comes after any of them does not count.
    """

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    codes: tuple[str, ...] = ()
    label: str | None = None
    above: float | None = None
    below: float | None = None
    before: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if bool(self.codes) == (self.label is not None):
            raise ValueError("an outcome has codes or a label, one of the two")
        if self.label is not None and (self.has_threshold or self.before):
            raise ValueError("a label has a window and values of its own")
        low, high = (-inf if self.above is None else self.above), (inf if self.below is None else self.below)
        if not low < high or inf in (low, -high):
            raise ValueError("no value lies there")

    @property
    def has_threshold(self) -> bool:
        """Whether it is about values."""
        return self.above is not None or self.below is not None


class Question(_Part, frozen=True, kw_only=True, tag_field="kind"):
    """The root of all questions."""


class Forecast(Question, frozen=True, kw_only=True, tag="forecast"):
    """What is likely to come, and when.

    Attributes:
        outcomes: what to forecast.
        horizons_days: how far ahead, in days, rising.
        occurrence: `incident`: the first ever; `recurrent`: again; `any`: the next one.
        interval: give 90% intervals.
        evidence: give the records that moved the model.
        modalities: what may be used, codes among them; all where it is left out.
    """

    outcomes: Annotated[tuple[Outcome, ...], Meta(min_length=1)]
    horizons_days: Annotated[tuple[Days, ...], Meta(min_length=1)] = (30.0, 365.25)
    occurrence: Occurrence = "any"
    interval: bool = True
    evidence: bool = False
    modalities: tuple[Modality, ...] | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.modalities is not UNSET and "codes" not in self.modalities:
            raise ValueError("codes are always used")


class Changes(Question, frozen=True, kw_only=True, tag="changes"):
    """What is new since a date, what moved the risk, and what is left open.

    Attributes:
        since: what became available later is new.
        open_loops: give what is left open, whenever it began.
        outcomes: give the risk of these then and now; none where it is left out.
        horizon_days: of these risks.
    """

    since: datetime
    open_loops: bool = True
    outcomes: tuple[Outcome, ...] | UnsetType = UNSET
    horizon_days: Days | UnsetType = UNSET


class Differential(Question, frozen=True, kw_only=True, tag="differential"):
    """Which conditions are present but undiagnosed, or imminent.

    Attributes:
        candidates: what is looked at; the table of conditions where there are none.
        imminent_days: what gets on record within so many days is imminent.
        evidence: give the records that moved the model, of the likeliest.
        present_days: what gets on record within so many days was mostly there; a year where it is left out.
    """

    candidates: tuple[Outcome, ...] = ()
    imminent_days: Days = 90.0
    evidence: bool = True
    present_days: Days | UnsetType = UNSET


class NextTest(Question, frozen=True, kw_only=True, tag="next_test"):
    """Which test would settle a decision, for its cost.

    Attributes:
        outcome: that the decision is about.
        horizon_days: within which.
        act_above: the risk above which one acts.
        tests: to choose from, by name or code; the table of tests where there are none.
        costs: of tests, by the same names; the table's where they are left out.
    """

    outcome: Outcome
    horizon_days: Days
    act_above: Probability
    tests: tuple[str, ...] = ()
    costs: dict[str, float] = {}


class Treatment(Question, frozen=True, kw_only=True, tag="treatment"):
    """What a treatment would change for this patient."""

    options: Annotated[tuple[str, ...], Meta(min_length=1)]
    outcome: Outcome
    horizon_days: Days
    mode: Literal["trial", "research"] = "trial"


class Rollout(Question, frozen=True, kw_only=True, tag="rollout"):
    """Simulated futures."""

    horizon_days: Days
    draws: Annotated[int, Meta(ge=1, le=1000)] = 20
    seed: int = 0


class LikeThis(Question, frozen=True, kw_only=True, tag="like_this"):
    """How patients like this one fared, as counts of at least 11."""

    outcomes: tuple[Outcome, ...] = ()
    horizon_days: Days = 365.25
    n_nearest: Annotated[int, Meta(ge=11, le=10_000)] = 100


class Draft(Question, frozen=True, kw_only=True, tag="draft"):
    """A document to be signed by a clinician; each sentence cites."""

    document: Literal[
        "visit_summary",
        "discharge_summary",
        "referral",
        "prior_authorisation",
        "coding_suggestions",
        "patient_message",
    ]
    visit: str | None = None


AnyQuestion = Forecast | Changes | Differential | NextTest | Treatment | Rollout | LikeThis | Draft


class Citation(_Part, frozen=True, kw_only=True):
    """A source record that a statement rests on.

    Attributes:
        source: the caller's own reference, for example `Observation/123`.
        start: first character, in a note; None elsewhere.
        end: one past the last character.
        region: left, top, right, bottom in an image, as shares of its size; None elsewhere.
    """

    source: str
    start: int | None = None
    end: int | None = None
    region: tuple[Probability, Probability, Probability, Probability] | None = None


class Moved(_Part, frozen=True, kw_only=True):
    """What moved the model: never *why the patient*.

    Attributes:
        citation: the newest of the records, or a part of a note or an image.
        code: of the records; of notes their kind, of images `modality/body site`, of a genome `variants`.
        change: of the risk, where they are all taken away, or the part is; −1 to 1.
    """

    citation: Citation
    code: str
    change: float


class Interval(_Part, frozen=True, kw_only=True):
    """A 90% interval, ends included."""

    low: Probability
    high: Probability


class Risk(_Part, frozen=True, kw_only=True):
    """The risk of one outcome within one horizon."""

    outcome: str
    horizon_days: Days
    probability: Probability
    interval: Interval | None = None


class Statement(_Part, frozen=True, kw_only=True):
    """One sentence and the records it rests on.

    Attributes:
        text: the sentence.
        citations: of the records.
        tag: the section of a draft; or new, resolved, worsening, open_loop, moved_risk; or what was checked
            of a treatment: blocked, caution, looked_at, nothing_found, benefit, no_figure; or of a
            differential: cant_miss, possible, known, for, against, moved_model; or of a next test: test,
            no_test; or of simulated futures and of patients like this one: future, alike; or not_checked,
            flagged (required and lacking), contradiction, phrasing.
        rule: name of the rule that says so, where one does.
        basis: the publication that the rule rests on.
    """

    text: str
    citations: tuple[Citation, ...]
    tag: str = ""
    rule: str | UnsetType = UNSET
    basis: str | UnsetType = UNSET


class Abstention(_Part, frozen=True, kw_only=True):
    """Why there is no number, for one outcome, or for all where `outcome` is None."""

    reason: AbstentionReason
    outcome: str | None = None
    detail: str = ""


class Freshness(_Part, frozen=True, kw_only=True):
    """How old what the answer rests on is.

    Attributes:
        latest: when the newest record became available; None where there is none.
        age_days: from then to `as_of`.
    """

    latest: datetime | None
    age_days: float | None


class Answer(_Part, frozen=True, kw_only=True):
    """The answer to any question.

    Attributes:
        kind: of the question.
        subject: the caller's own reference.
        as_of: only what was available by then was looked at.
        release: digest of the release; empty for a model that is not released.
        freshness: of the data.
        modalities: what was used.
        risks: of a forecast, a differential, a treatment, a next test.
        statements: of changes and drafts; what was checked, and what was not.
        moved: evidence, where it was asked for.
        abstentions: what was not answered, and why.
        research: outside what the release was examined for.
    """

    kind: str
    subject: str
    as_of: datetime
    release: str
    freshness: Freshness
    modalities: tuple[Modality, ...] = ("codes",)
    risks: tuple[Risk, ...] = ()
    statements: tuple[Statement, ...] = ()
    moved: tuple[Moved, ...] = ()
    abstentions: tuple[Abstention, ...] = ()
    research: bool = False


def read_question(body: bytes | str | dict[str, Any]) -> AnyQuestion:
    """Read a question from JSON or from a mapping (TOML, HTTP).

    Raises:
        QuestionError: names the key that is wrong, not what it holds.
    """
    try:
        if isinstance(body, dict):
            question: AnyQuestion = msgspec.convert(body, AnyQuestion)
        else:
            question = msgspec.json.decode(body, type=AnyQuestion)
    except msgspec.ValidationError as error:
        _, _, where = str(error).rpartition(" - at ")
        raise QuestionError(
            "a question's key is missing, unknown, or of the wrong type",
            where=where.strip("`") if where.startswith("`$") else "",
            mend=f"kinds: {', '.join(KINDS)}; see the JSON Schemas of the contract",
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise QuestionError("a question is no JSON") from None
    return question


KINDS: Final = (
    "forecast",
    "changes",
    "differential",
    "next_test",
    "treatment",
    "rollout",
    "like_this",
    "draft",
)


def schemas() -> dict[str, dict[str, Any]]:
    """Give the JSON Schema (draft 2020-12) of `question` and `answer`."""
    return {
        "question": _schema(AnyQuestion, "Question"),
        "answer": _schema(Answer, "Answer"),
    }


def _schema(kind: Any, title: str) -> dict[str, Any]:
    (body,), parts = msgspec.json.schema_components((kind,), ref_template="#/$defs/{name}")
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
    whole = {**head, **body, "$defs": dict(sorted(parts.items()))}
    schema: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(whole))
    return schema
