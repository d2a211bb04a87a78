"""In: what was measured of a model here. Out: use, recalibrate, do not use, or cannot tell; and why.

The rules are fixed (`VerdictRules`), stated on the page, and asked in this order:

1. Too few outcomes, or too few answers: cannot tell.
2. It ranks hardly better than chance, or acting on it, even recalibrated, is no better than acting on
   everybody or on nobody: do not use.
3. Whether acting on it is better could not be shown: cannot tell.
4. Its risks are off, and recalibration gains: recalibrate. Else: use.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from residency.contract.report import TOO_FEW_EVENTS, Contrast, Metric, Slice
from residency.contract.specs import spec
from residency.contract.verdict import Verdict, Word
from residency.validation.figures import Figure
from residency.validation.judging import Judged
from residency.validation.measuring import shown_of
from residency.validation.words import contrast_words, in_pairs, per_100, slice_name


@spec
class VerdictRules:
    """What the words mean.

    Attributes:
        min_events: patients with the outcome, and patients without, below which nobody can tell.
        min_answered: share of what was asked that must be answered.
        min_auroc: a ranking whose interval ends below it is useless.
        lowest_ratio: O:E and calibration slope from here ...
        highest_ratio: ... to here are near enough to 1.
        most_ici: ICI over the share with the outcome, up to here, is near enough to 0.
    """

    min_events: int = TOO_FEW_EVENTS
    min_answered: float = 0.8
    min_auroc: float = 0.6
    lowest_ratio: float = 0.8
    highest_ratio: float = 1.25
    most_ici: float = 0.25


@dataclass(frozen=True)
class Said:
    """A verdict and what decided it."""

    word: Word
    why: list[str]


def say(judged: Judged, rules: VerdictRules) -> Said:
    """Give the verdict, by the rules in their order."""
    return (
        _unknown(judged, rules)
        or _useless(judged, rules)
        or _unshown(judged)
        or _to_recalibrate(judged, rules)
        or _useful(judged, rules)
    )


def _unknown(judged: Judged, rules: VerdictRules) -> Said | None:
    fewer = min(judged.events, judged.others)
    answered = judged.predictions / max(judged.asked, 1)
    if fewer < rules.min_events:
        kind = "with" if judged.events <= judged.others else "without"
        why = (
            f"Only {fewer:,} patients here are {kind} the outcome. With fewer than {rules.min_events}, what"
            " looks good or bad may be chance."
        )
        wanted = int(np.ceil(rules.min_events / max(fewer, 1) * judged.patients))
        more = f"About {wanted:,} patients like these would be enough, in place of {judged.patients:,}."
        return Said("cannot tell", [why, more] if fewer else [why])
    if answered < rules.min_answered:
        why = (
            f"It answered {judged.predictions:,} of {judged.asked:,} times ({per_100(answered)}). How good"
            " it would be for the rest is not known."
        )
        return Said("cannot tell", [why])
    return None


def _useless(judged: Judged, rules: VerdictRules) -> Said | None:
    auroc = judged.figures["auroc"].metric
    if judged.recipe is not None and judged.recipe.slope < 0 and _high(auroc) < 0.5:
        why = "Patients with the outcome get lower scores than those without. Is the score turned round?"
        return Said("do not use", [why])
    if _high(auroc) < rules.min_auroc or judged.after is None:
        return Said(
            "do not use",
            [f"It hardly tells patients with the outcome from those without: {in_pairs(auroc)}."],
        )
    if _high(judged.after["benefit"].metric) <= 0:
        why = f"Acting on it {_at(judged)} is no better than {_default(judged)}, even after recalibration."
        return Said("do not use", [why])
    return None


def _unshown(judged: Judged) -> Said | None:
    if judged.after is None or _low(judged.after["benefit"].metric) > 0:
        return None
    benefit = judged.after["benefit"].metric
    why = (
        f"Whether acting on it {_at(judged)} is better than {_default(judged)} could not be shown: the gain"
        f" may be anything from {1000 * _low(benefit):+.1f} to {1000 * _high(benefit):+.1f} patients rightly"
        " acted on in 1,000."
    )
    return Said("cannot tell", [why])


def _to_recalibrate(judged: Judged, rules: VerdictRules) -> Said | None:
    off = faults_of_calibration(judged.figures, rules)
    if not off or judged.gain is None or judged.after is None or _low(judged.gain["log_loss"].metric) <= 0:
        return None
    before, after = judged.figures, judged.after
    more = 1000 * judged.gain["net_benefit"].value
    gains = (
        f"Recalibrated on these patients, a risk is off by {per_100(after['ici'].value)} in place of"
        f" {per_100(before['ici'].value)} on average, on patients that taught it nothing"
    )
    shown = _low(judged.gain["net_benefit"].metric) > 0
    acted = f"; acting {_at(judged)} is then right for {more:.1f} more patients in 1,000." if shown else "."
    ranks = (
        f"It ranks patients usefully ({in_pairs(before['auroc'].metric)}), but its risks are off here:"
        f" {'; '.join(off)}."
    )
    return Said("recalibrate", [ranks, gains + acted])


def _useful(judged: Judged, rules: VerdictRules) -> Said:
    off = faults_of_calibration(judged.figures, rules)
    if _low(judged.figures["benefit"].metric) <= 0:
        why = (
            f"Acting on its risks as they are {_at(judged)} was not shown to be better than"
            f" {_default(judged)}."
        )
        return Said("cannot tell", [why])
    ranks = (
        f"It ranks patients usefully ({in_pairs(judged.figures['auroc'].metric)}), and acting on it"
        f" {_at(judged)} is better than {_default(judged)}."
    )
    risks = (
        f"Yet {'; '.join(off)}; recalibration was not shown to mend it."
        if off
        else "Its risks are close to what happens here."
    )
    return Said("use", [ranks, risks])


def faults_of_calibration(figures: dict[str, Figure], rules: VerdictRules) -> list[str]:
    """Say in what way risks are off; nothing where they are near enough."""
    ratio, slope = figures["observed_expected"].value, figures["calibration_slope"].value
    off = []
    if not rules.lowest_ratio <= ratio <= rules.highest_ratio:
        off.append(f"the outcome is {ratio:.2f} times as common as it says")
    if not rules.lowest_ratio <= slope <= rules.highest_ratio:
        off.append(f"its risks are too {'far apart' if slope < 1 else 'much alike'} (slope {slope:.2f})")
    if figures["ici_over_prevalence"].value > rules.most_ici:
        off.append(f"a risk is off by {per_100(figures['ici'].value)} on average")
    return off


def cautions_of(
    judged: Judged, slices: Mapping[str, Slice], contrasts: Sequence[Contrast], left_out: Mapping[str, int]
) -> list[str]:
    """Say what to know before acting on a verdict."""
    found = [
        f"It is not the same for everybody: {contrast_words(one)}, more than chance."
        for one in contrasts
        if one.p_corrected is not None and one.p_corrected < 0.05
    ]
    groups = [name for name in slices if name.startswith("group=")]
    few = [slice_name(name) for name in groups if not slices[name].can_tell]
    if few and len(few) < len(groups):
        found.append(f"Too few with the outcome to tell for: {', '.join(few)}.")
    elif few:
        found.append("Too few with the outcome to tell for any group.")
    unknown, asked = left_out.get("outcome not known", 0), judged.asked
    if unknown > 0.05 * (asked + unknown):
        found.append(
            f"For {unknown:,} of {asked + unknown:,} scores the outcome is not known: who they are matters."
        )
    if judged.predictions < judged.asked:
        found.append(f"It gave no answer {judged.asked - judged.predictions:,} of {judged.asked:,} times.")
    return found


def _at(judged: Judged) -> str:
    return f"at a risk of {per_100(judged.rules.threshold)}"


def _default(judged: Judged) -> str:
    share = judged.figures["net_benefit"].value - judged.figures["benefit"].value
    return "acting on everybody" if share > 0 else "acting on nobody"


def _low(metric: Metric) -> float:
    return -np.inf if metric.low is None else metric.low


def _high(metric: Metric) -> float:
    return np.inf if metric.high is None else metric.high


def verdict_of(
    judged: Judged,
    names: tuple[str, str, str],
    cautions: list[str],
    left_out: dict[str, int],
    rules: VerdictRules,
) -> Verdict:
    """Put a verdict together.

    Args:
        judged: figures.
        names: of the model and the task, and the task's title.
        cautions: what to know before acting on it.
        left_out: rows that are in no figure.
        rules: what the words mean.
    """
    said = say(judged, rules)
    return Verdict(
        model=names[0],
        task=names[1],
        title=names[2],
        verdict=said.word,
        why=said.why,
        cautions=cautions,
        patients=judged.patients,
        predictions=judged.predictions,
        events=judged.events,
        asked=judged.asked,
        threshold=judged.rules.threshold,
        figures=shown_of(judged.figures),
        recalibrated=shown_of(judged.after or {}),
        gain=shown_of(judged.gain or {}),
        recipe=judged.recipe,
        left_out=left_out,
    )
