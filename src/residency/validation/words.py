"""In: figures. Out: the same in plain words, for a small clinic."""

from residency.contract.report import Contrast, Metric


def per_100(share: float) -> str:
    """Write a share as a percentage that a person would say.

    Example:
        >>> [per_100(share) for share in (0.5, 0.0712, 0.0031, 0.0)]
        ['50%', '7.1%', '0.31%', '0%']
    """
    percent = 100 * share
    if percent == 0:
        return "0%"
    digits = 0 if abs(percent) >= 10 else 1 if abs(percent) >= 1 else 2
    return f"{percent:.{digits}f}%"


def interval(metric: Metric | None, digits: int = 2) -> str:
    """Write a figure with its interval, for example `0.81 (0.79 to 0.83)`."""
    if metric is None or metric.value is None:
        return "—"
    if metric.low is None or metric.high is None:
        return f"{metric.value:.{digits}f}"
    return f"{metric.value:.{digits}f} ({metric.low:.{digits}f} to {metric.high:.{digits}f})"


def in_pairs(auroc: Metric) -> str:
    """Say an AUROC in words, with its interval."""
    if auroc.value is None:
        return "not measured"
    low, high = (auroc.value if end is None else end for end in (auroc.low, auroc.high))
    pairs = f"{100 * auroc.value:.0f} of 100 pairs ({100 * low:.0f} to {100 * high:.0f})"
    return f"of two patients, one with the outcome, it scores the right one higher in {pairs}"


def p_value(p: float | None) -> str:
    """Write a p-value.

    Example:
        >>> [p_value(p) for p in (0.2, 0.031, 1e-9, None)]
        ['0.2', '0.031', '< 0.001', '—']
    """
    return "—" if p is None else "< 0.001" if p < 0.001 else f"{p:.2g}"


def in_1000(share: Metric | None) -> str:
    """Write a share as so many in 1,000, with its interval."""
    if share is None or share.value is None:
        return "—"
    if share.low is None or share.high is None:
        return f"{1000 * share.value:.0f}"
    return f"{1000 * share.value:.0f} ({1000 * share.low:.0f} to {1000 * share.high:.0f})"


def contrast_words(one: Contrast) -> str:
    """Say how a group differs."""
    name = {"auroc": "AUROC", "calibration_intercept": "calibration (log-odds)"}[one.metric]
    value, reference = (text.replace("_", " ") for text in (one.value, one.reference))
    return f"{name} {interval(one.difference)} in {one.group} {value} against {reference}"


def slice_name(name: str) -> str:
    """Write the name of a slice for people."""
    if name == "all":
        return "all held-out patients"
    return name.removeprefix("group=").removeprefix("apart=").replace("=", ": ").replace("_", " ")
