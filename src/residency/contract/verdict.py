"""In: what an examination of somebody's scores came to. Out: `verdict.json`, format 1, and back."""

from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from residency.contract.errors import InputError
from residency.contract.report import Metric

VERDICT_VERSION: Final = 1
Word = Literal["use", "recalibrate", "do not use", "cannot tell"]


class Recipe(Struct, frozen=True):
    """`new log-odds = intercept + slope × log-odds`, fitted on all local patients."""

    intercept: float
    slope: float


class Verdict(Struct, frozen=True, kw_only=True):
    """One model at one task.

    Attributes:
        model: its name.
        task: the task's name.
        title: the task's title, for people.
        verdict: the word.
        why: what decided, in plain sentences.
        cautions: what to know before acting on it.
        patients: answered for.
        predictions: scores.
        events: patients with the outcome.
        asked: scores that were asked for, abstentions among them.
        threshold: risk at and above which one would act.
        figures: of the scores as they are; `benefit` is the net benefit less that of the better of acting on
            everybody and on nobody.
        recalibrated: the same after recalibration, by cross-fitting; empty where it could not be fitted.
        gain: what recalibration gains, above 0 where it does; `log_loss`, `ici`, `net_benefit`.
        recipe: the recalibration.
        left_out: rows that are in no figure, with the reason.
    """

    model: str
    task: str
    title: str
    verdict: Word
    why: list[str]
    cautions: list[str]
    patients: int
    predictions: int
    events: int
    asked: int
    threshold: float
    figures: dict[str, Metric]
    recalibrated: dict[str, Metric] = {}
    gain: dict[str, Metric] = {}
    recipe: Recipe | None = None
    left_out: dict[str, int] = {}


class Comparison(Struct, frozen=True, kw_only=True):
    """Two models on the same predictions: `one` less `other`, paired, with Holm's correction."""

    task: str
    one: str
    other: str
    metric: str
    predictions: int
    events: int
    difference: Metric
    p: float | None
    p_corrected: float | None


class Evidence(Struct, frozen=True, kw_only=True):
    """One question of due diligence.

    Attributes:
        key: its name in a file of statements.
        question: in words.
        found: what was measured here; None where only the vendor can say.
        said: what the vendor states, unchecked; None where the vendor left it open.
    """

    key: str
    question: str
    found: str | None = None
    said: str | None = None


class Verdicts(Struct, frozen=True, kw_only=True):
    """One examination of one or several models."""

    verdicts: list[Verdict]
    comparisons: list[Comparison] = []
    evidence: dict[str, list[Evidence]] = {}  # of each model
    version: int = VERDICT_VERSION
    about: dict[str, str] = {}


def read_verdicts(path: Path) -> Verdicts:
    """Read verdicts.

    Raises:
        InputError: the file is absent, or holds none of this version.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Verdicts)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError):
        raise InputError("cannot read verdicts", where=str(path)) from None
    if found.version != VERDICT_VERSION:
        raise InputError(f"verdict version {found.version} is not {VERDICT_VERSION}", where=str(path))
    return found


def write_verdicts(verdicts: Verdicts, path: Path) -> None:
    """Write verdicts, their keys in order, for people and for machines."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(verdicts, order="deterministic"), indent=1))
