"""In: an examination. Out: what its report says, finding by finding, with the facts, and the impression."""

from dataclasses import dataclass
from typing import Final

from residency.simulation.studies import Study
from residency.simulation.wording import Choices, Claim, phrases

_SEEN_MM: Final = {"CT": 4.0, "CR": 12.0, "DX": 12.0}
"""The smallest nodule that is seen."""
MASS_MM: Final = 30.0


@dataclass(frozen=True)
class Findings:
    """A report's sentences and its impression."""

    sentences: tuple[tuple[str, Claim | None], ...]
    impression: tuple[str, ...]


def degree(value: float, some: float, much: float) -> int:
    """Say how much: 0 none, 1 some, 2 much.

    Example:
        >>> [degree(one, 0.5, 0.55) for one in (0.4, 0.52, 0.6)]
        [0, 1, 2]
    """
    return (value >= some) + (value >= much)


def findings(study: Study, chance: Choices) -> Findings:
    """Read an examination, as a good radiologist would."""
    say, chest = phrases().imaging, study.chest
    size = degree(chest.ratio, 0.49, 0.53)
    wet = degree(chest.congestion, 0.35, 0.65)
    fluid = degree(chest.effusion, 0.12, 0.45)
    found: list[tuple[str, Claim | None]] = []
    impression: list[str] = []
    for kind, concept, at in (
        (say.heart, "cardiomegaly", size), (say.congestion, "congestion", wet),
        (say.effusion, "pleural_effusion", fluid),
    ):  # fmt: skip
        sentence = chance.one(kind[at])
        borderline = concept == "cardiomegaly" and at == 1
        found.append((sentence, None if borderline else Claim(concept, negated=at == 0)))
        if at == 2:
            impression.append(sentence)
    nodules = _nodules(study, chance)
    found += nodules
    if nodules:
        wanted = "tumour" if chest.tumour_mm >= MASS_MM else "nodule"
        advice = chance.one(say.work_up if wanted == "tumour" else say.advice)
        impression.append(f"{nodules[0][0]} {advice}")
    else:
        found.append((chance.one(say.no_nodule), Claim("lung_nodule", negated=True)))
    return Findings(tuple(found), tuple(impression or ["No acute cardiopulmonary disease."]))


def _nodules(study: Study, chance: Choices) -> list[tuple[str, Claim | None]]:
    """Describe the nodules that can be seen, the largest first."""
    chest, say = study.chest, phrases().imaging
    both = [(chest.tumour_mm, chest.body.tumour), (chest.benign_mm, chest.body.place)]
    found: list[tuple[str, Claim | None]] = []
    for mm, (side, height, _) in sorted(both, key=lambda one: -one[0]):
        if mm >= _SEEN_MM[study.modality]:
            kind = say.mass if mm >= MASS_MM else say.nodule
            sentence = chance.one(kind).format(
                mm=round(mm),
                side="left" if side > 0 else "right",
                lobe="upper lobe" if height < 0.5 else "lower lobe",
            )
            concept = "lung_mass" if mm >= MASS_MM else "lung_nodule"
            found.append((sentence[0].upper() + sentence[1:], Claim(concept)))
    return found
