"""In: figures, times and reasons. Out: the words that a clinician reads."""

import re
from datetime import date, datetime
from typing import Final

from residency.contract.questions import Answer, Modality
from residency.contract.report import Metric
from residency.workspace.client import Listed

NOTICE: Final = (
    "Not a cleared medical device. Figures are estimated risks of being diagnosed; a low figure rules "
    "nothing out. The clinician decides."
)
KINDS: Final = {"codes": "coded records", "notes": "notes", "images": "images", "variants": "genome"}
ASKED: Final = {
    "all": "All records",
    "no_notes": "Without notes",
    "no_images_or_genome": "Without images and genome",
    "codes": "Coded records only",
}
MODALITIES: Final[dict[str, tuple[Modality, ...]]] = {
    "no_notes": ("codes", "images", "variants"),
    "no_images_or_genome": ("codes", "notes"),
    "codes": ("codes",),
}
_METABOLISERS: Final = ("CYP2C9", "CYP2C19", "CYP2D6", "CYP3A5", "CYP2B6", "DPYD", "TPMT", "NUDT15", "UGT1A1")
_OF_GENE: Final = {**dict.fromkeys(_METABOLISERS, "metaboliser"), "SLCO1B1": "function"}
STATES: Final = {
    "validated": "examined on past patients",
    "silent": "runs beside care, unseen",
    "internal": "for this institution's clinicians",
    "released": "released",
}


def percent(share: float) -> str:
    """Say a probability, never as 0 or 1.

    Example:
        >>> [percent(share) for share in (0.0002, 0.034, 0.2, 0.995)]
        ['< 0.1%', '3.4%', '20%', '> 99%']
    """
    if share < 0.001:
        return "< 0.1%"
    if share > 0.99:
        return "> 99%"
    return f"{100 * share:.1f}%" if share < 0.1 else f"{100 * share:.0f}%"


def horizon(days: float) -> str:
    """Say a horizon.

    Example:
        >>> [horizon(days) for days in (0.25, 30.0, 365.25, 1826.25)]
        ['6 hours', '30 days', '1 year', '5 years']
    """
    years = days / 365.25
    if round(years) >= 1 and abs(years - round(years)) < 0.02:
        return f"{round(years)} year{'s' if round(years) > 1 else ''}"
    return f"{round(days * 24)} hours" if days < 2 else f"{round(days)} days"


def day(time: datetime | date | None) -> str:
    """Say a date.

    Example:
        >>> day(date(2024, 3, 1)), day(None)
        ('1 Mar 2024', 'not known')
    """
    return "not known" if time is None else f"{time.day} {time:%b %Y}"


def born(patient: Listed) -> str:
    """Say a patient's date of birth."""
    return day(date.fromisoformat(patient.born)) if patient.born else "not known"


def age(patient: Listed, as_of: datetime) -> str:
    """Say how old a patient was."""
    if patient.born is None:
        return ""
    birth = date.fromisoformat(patient.born)
    years = as_of.year - birth.year - ((as_of.month, as_of.day) < (birth.month, birth.day))
    return f"{years} years old" if years >= 0 else ""


def freshness(answer: Answer) -> str:
    """Say how old the newest record is that an answer rests on."""
    if answer.freshness.latest is None or answer.freshness.age_days is None:
        return "No dated record by then."
    days = answer.freshness.age_days
    old = "less than a day" if days < 1 else f"{days:.0f} day{'s' if round(days) != 1 else ''}"
    return f"Rests on records up to {day(answer.freshness.latest)}, {old} before the date asked about."


def used(answer: Answer) -> str:
    """Say which kinds of records an answer rests on."""
    return f"Used: {', '.join(KINDS[kind] for kind in answer.modalities)}."


def region(place: tuple[float, float, float, float]) -> str:
    """Say where in an image a region lies: left, top, right, bottom, as shares of its size.

    Example:
        >>> region((0.5, 0.0, 1.0, 0.5)), region((0.0, 0.5, 0.5, 1.0))
        ('upper right quarter', 'lower left quarter')
    """
    left, top, right, bottom = place
    return f"{'upper' if top + bottom < 1 else 'lower'} {'left' if left + right < 1 else 'right'} quarter"


def genotype(written: str | None) -> str:
    """Say a genotype as VCF writes it.

    Example:
        >>> genotype("0/1"), genotype("1|1"), genotype(None)
        ('0/1, one copy', '1|1, two copies', '–')
    """
    if not written:
        return "–"
    copies = sum(part not in ("0", ".", "") for part in written.replace("|", "/").split("/"))
    return f"{written}, {('no copy', 'one copy', 'two copies')[min(copies, 2)]}"


def phenotype(gene: str | None, said: str | None) -> str:
    """Say a gene's phenotype.

    Example:
        >>> phenotype("CYP2C19", "poor"), phenotype("SLCO1B1", "decreased"), phenotype("APOE", None)
        ('poor metaboliser', 'decreased function', '')
    """
    if not said:
        return ""
    return f"{said} {_OF_GENE[gene]}" if gene in _OF_GENE and " " not in said else said


def name(outcome: str) -> str:
    """Say an outcome, without the horizon that a task's name may end in: it is said beside.

    Example:
        >>> name("type_2_diabetes_1y"), name("heart_failure")
        ('Type 2 diabetes', 'Heart failure')
    """
    plain = _HORIZON.sub("", outcome).replace("_", " ")
    return plain[:1].upper() + plain[1:]


def figure(metric: Metric | None) -> str:
    """Say a measured figure with its interval."""
    if metric is None or metric.value is None:
        return "–"
    if metric.low is None or metric.high is None:
        return f"{metric.value:.3f}"
    return f"{metric.value:.3f} ({metric.low:.3f} to {metric.high:.3f})"


_HORIZON: Final = re.compile(r"_\d+[hdwmy]$")
_METRICS: Final = {"auroc": "AUROC", "auprc": "AUPRC", "ici": "ICI"}


def metric(name: str) -> str:
    """Say what was measured.

    Example:
        >>> metric("auroc"), metric("calibration_slope")
        ('AUROC', 'calibration slope')
    """
    return _METRICS.get(name, name.replace("_", " "))


def population(slice_name: str) -> str:
    """Say a slice of patients.

    Example:
        >>> population("all"), population("group=sex=female"), population("site=north")
        ('all held-out patients', 'sex: female', 'site: north')
    """
    if slice_name == "all":
        return "all held-out patients"
    return slice_name.removeprefix("group=").replace("=", ": ").replace("_", " ")
