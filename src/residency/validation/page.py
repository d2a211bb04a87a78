"""In: what was measured. Out: `report.html`: self-contained, for people, and it prints well."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import jinja2
import polars as pl

from residency.contract.report import METRICS, TOO_FEW_EVENTS, Contrast, Metric, Slice
from residency.validation.clinical import clinical_score
from residency.validation.figures import Rules
from residency.validation.plots import NAMES, plots
from residency.validation.tasks import Task
from residency.validation.words import contrast_words, in_1000, p_value, slice_name

WORDS: Final = {
    "auroc": "AUROC: chance that one with the outcome is ranked above one without",
    "auprc": "AUPRC: average precision",
    "calibration_slope": "calibration slope: 1 is right, below 1 too bold",
    "calibration_intercept": "calibration intercept: 0 is right, above 0 the outcome is commoner than said",
    "observed_expected": "O:E: outcomes that came, over those foretold; 1 is right",
    "ici": "ICI: mean distance between predicted and observed risk",
    "ici_over_prevalence": "ICI over the share with the outcome",
    "net_benefit": "net benefit at the stated threshold",
    "flagged_share": "share at or above the threshold",
    "sensitivity": "share of outcomes at or above the threshold",
    "specificity": "share of the others below the threshold",
    "ppv": "share of those at or above the threshold with the outcome",
    "number_needed_to_evaluate": "number needed to evaluate: looked at for each with the outcome",
    "sensitivity_at_alerts": "patients found at the stated burden of alerts, of those with the outcome",
    "lead_time_days": "lead time: median days from alert to outcome",
    "alerts_per_found": "alerts made for each patient found",
    "utility": "utility of the challenge: 0 is no alarm, 1 perfect alarms",
}
KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "Ranking": ("auroc", "auprc"),
    "Do its risks come true?": (
        "observed_expected", "calibration_slope", "calibration_intercept", "ici", "ici_over_prevalence",
    ),
    "Acting at the stated risk": (
        "net_benefit", "flagged_share", "sensitivity", "specificity", "ppv", "number_needed_to_evaluate",
    ),
    "Alerts": ("sensitivity_at_alerts", "alerts_per_found", "lead_time_days", "utility"),
}  # fmt: skip
SHORT: Final = ("auroc", "auprc", "observed_expected", "calibration_slope", "net_benefit", "utility")


@dataclass(frozen=True)
class Examined:
    """One task and all that was measured of it."""

    task: Task
    rules: Rules
    slices: Mapping[str, Slice]
    contrasts: list[Contrast]
    predictions: pl.DataFrame
    counts: Mapping[str, int]
    bare: bool = False  # the outcome is only what a file states

    @property
    def whole(self) -> Slice:
        """The slice `all`."""
        return self.slices["all"]

    @property
    def metrics(self) -> tuple[str, ...]:
        """Metrics that were measured, in order."""
        return tuple(name for name in METRICS if name in self.whole.model)

    @property
    def scores(self) -> tuple[str, ...]:
        """Scores that were measured beside the model's."""
        held = {
            "baseline": self.whole.baseline,
            "clinical": self.whole.clinical,
            "stack": self.whole.stack,
            "best_possible": self.whole.best_possible,
        }
        return tuple(name for name, found in held.items() if found)

    def called(self, score: str) -> str:
        """Give the name of a score for people."""
        if score == "clinical" and self.task.clinical is not None:
            return clinical_score(self.task.clinical).title
        return NAMES[score]

    @property
    def clinical_source(self) -> str:
        """Say where the clinical score comes from; empty without one."""
        shown = self.whole.clinical and self.task.clinical
        return clinical_score(shown).source if shown else ""

    def plots(self, called: str) -> str:
        """Give inline SVG, in which the model has a name."""
        return plots(self.predictions, self.rules, self.whole, called)


def pages() -> jinja2.Environment:
    """Give the room's templates, with the words that all pages have."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("residency.validation", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "contrast": contrast_words,
        "in_1000": in_1000,
        "p_value": p_value,
        "slice_name": slice_name,
    }
    return environment


def write_page(path: Path, parts: tuple[Examined, ...], about: Mapping[str, str]) -> None:
    """Write the page."""
    environment = pages()
    environment.filters |= {"figure": figure, "verdict": verdict}
    page = environment.get_template("report.html").render(
        parts=parts,
        about=about,
        ours="model" in about,
        words=WORDS,
        kinds=KINDS,
        short=SHORT,
        names=NAMES,
        too_few=TOO_FEW_EVENTS,
    )
    path.write_text(page, "utf-8")


def figure(metric: Metric | None, signed: bool = False) -> str:
    """Write a figure with its interval, for example `0.812 (0.790 to 0.833)`; large ones shorter."""
    if metric is None or metric.value is None:
        return "—"
    sign = "+" if signed else ""
    digits = 3 if abs(metric.value) < 10 else 1
    value = f"{metric.value:{sign}.{digits}f}"
    if metric.low is None or metric.high is None:
        return value
    return f"{value} ({metric.low:{sign}.{digits}f} to {metric.high:{sign}.{digits}f})"


def verdict(measured: Slice) -> str:
    """Say in one sentence how the network stands to the baseline."""
    if not measured.can_tell:
        return f"Cannot tell: {measured.events} patients with the outcome, fewer than {TOO_FEW_EVENTS}."
    difference = measured.paired.get("auroc")
    if difference is None or difference.low is None or difference.high is None:
        return "No baseline could be trained."
    if difference.low > 0:
        return "The network ranks patients better than LightGBM on the same patients and features in time."
    if difference.high < 0:
        return "LightGBM ranks patients better than the network."
    return "No difference in ranking between the network and LightGBM could be shown."
