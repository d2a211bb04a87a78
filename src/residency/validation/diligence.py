"""In: what was measured of a model, and what its vendor states. Out: due diligence, question by question.

What was measured here is *found*; what the vendor states is *said*, unchecked; the rest is open.
"""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from residency.contract.errors import SpecError
from residency.contract.report import Contrast, Slice
from residency.contract.verdict import Evidence, Verdict
from residency.validation.words import contrast_words, in_1000, in_pairs, interval, per_100

FILE: Final = Path(__file__).with_name("diligence.toml")
Statements = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Found:
    """What was measured of one model at one task."""

    verdict: Verdict
    slices: Mapping[str, Slice]
    contrasts: Sequence[Contrast]
    has_times: bool
    sent: str | None


def questions() -> dict[str, str]:
    """Give each question by its key."""
    listed = tomllib.loads(FILE.read_text("utf-8"))["question"]
    return {one["key"]: one["question"] for one in listed}


def read_statements(path: Path | None, models: Sequence[str]) -> dict[str, dict[str, str]]:
    """Read what vendors state: `key = "text"` for all models, or under `[MODEL]`.

    Raises:
        SpecError: the file cannot be read, or names a model or a question that is none.
    """
    if path is None:
        return {model: {} for model in models}
    try:
        stated = tomllib.loads(path.read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError):
        raise SpecError("cannot read the statements as TOML", where=str(path)) from None
    known = questions()
    shared = {key: text for key, text in stated.items() if isinstance(text, str)}
    of_model = {key: dict(inner) for key, inner in stated.items() if isinstance(inner, dict)}
    wrong = [key for key in stated if key not in shared and key not in of_model]
    wrong += [key for inner in (shared, *of_model.values()) for key in inner if key not in known]
    wrong += [model for model in of_model if model not in models]
    if wrong:
        raise SpecError(
            f"not a question or a model: {', '.join(sorted(wrong))}",
            where=str(path),
            mend=f"questions: {', '.join(known)}; models: {', '.join(models)}",
        )
    return {model: {**shared, **{k: str(v) for k, v in of_model.get(model, {}).items()}} for model in models}


def evidence_of(found: Sequence[Found], said: Mapping[str, str]) -> list[Evidence]:
    """Answer each question, as far as it can be: of several tasks, each with its title."""
    result = []
    for key, question in questions().items():
        answers = [(one.verdict.title, _answer(key, one)) for one in found]
        held = [(title, text) for title, text in answers if text]
        shown = [text if len(found) == 1 else f"{title}: {text}" for title, text in held]
        result.append(
            Evidence(key=key, question=question, found=" ".join(shown) or None, said=said.get(key) or None)
        )
    return result


def _answer(key: str, one: Found) -> str | None:
    give = _ANSWERS.get(key)
    text = None if give is None else give(one)
    few = not one.slices["all"].can_tell and key in ("ranking", "calibration", "usefulness", "work")
    return f"{text} Too few to rely on." if text and few else text


def _numbers(one: Found) -> str:
    found = one.verdict
    return (
        f"{found.patients:,} patients, {found.predictions:,} scores, {found.events:,} patients with the"
        " outcome."
    )


def _ranking(one: Found) -> str | None:
    auroc = one.verdict.figures.get("auroc")
    return None if auroc is None else f"{in_pairs(auroc)}.".capitalize()


def _calibration(one: Found) -> str | None:
    figures = one.verdict.figures
    if "observed_expected" not in figures:
        return None
    slope = interval(figures.get("calibration_slope"))
    ratio = f"Outcomes that came over those foretold {interval(figures['observed_expected'])}, slope {slope}"
    ici = figures.get("ici")
    off = "" if ici is None or ici.value is None else f"; a risk is off by {per_100(ici.value)} on average"
    return f"{ratio}{off}."


def _usefulness(one: Found) -> str | None:
    benefit = one.verdict.figures.get("benefit")
    if benefit is None or benefit.value is None:
        return None
    return (
        f"At a risk of {per_100(one.verdict.threshold)}: {in_1000(benefit)} more rightly acted on in 1,000."
    )


def _work(one: Found) -> str | None:
    figures = one.verdict.figures
    if "flagged_share" not in figures:
        return None
    each = interval(figures.get("number_needed_to_evaluate"), 1)
    return (
        f"{in_1000(figures['flagged_share'])} in 1,000 scores are at or above"
        f" {per_100(one.verdict.threshold)};"
        f" {each} are looked at for each with the outcome;"
        f" {in_1000(figures.get('sensitivity'))} in 1,000 outcomes are found."
    )


def _differences(one: Found) -> str | None:
    groups = [name for name in one.slices if name.startswith("group=")]
    if not groups:
        return "No group is recorded in what was given."
    tested = sorted({f"{contrast.group}" for contrast in one.contrasts})
    worse = [c for c in one.contrasts if c.p_corrected is not None and c.p_corrected < 0.05]
    few = sum(not one.slices[name].can_tell for name in groups)
    said = f"{few} of {len(groups)} groups are too small to tell." if few else ""
    if not tested:
        return f"Cannot tell: {said or 'no two groups are large enough to compare.'}"
    shown = "; ".join(contrast_words(c) for c in worse)
    return f"Compared by {', '.join(tested)}: {shown or 'no difference could be shown'}. {said}".strip()


def _sites(one: Found) -> str | None:
    sites = {name: part for name, part in one.slices.items() if name.startswith("site=")}
    if len(sites) < 2:
        return "One site."
    shown = [
        f"{name.removeprefix('site=')}: AUROC {interval(part.model.get('auroc'))}" if part.can_tell
        else f"{name.removeprefix('site=')}: too few to tell"
        for name, part in sites.items()
    ]  # fmt: skip
    return "; ".join(shown) + "."


def _silence(one: Found) -> str:
    silent = one.verdict.asked - one.verdict.predictions
    return f"{silent:,} of {one.verdict.asked:,} times ({per_100(silent / max(one.verdict.asked, 1))})."


def _timing(one: Found) -> str | None:
    if not one.has_times:
        return None
    return "By the times in the file, yes; what the score was made from cannot be seen here."


_ANSWERS: Final[Mapping[str, Callable[[Found], str | None]]] = {
    "numbers": _numbers,
    "ranking": _ranking,
    "calibration": _calibration,
    "usefulness": _usefulness,
    "work": _work,
    "groups": _differences,
    "sites": _sites,
    "silence": _silence,
    "timing": _timing,
    "sent": lambda one: one.sent,
}
