"""In: genomes. Out: how much warfarin a person needs, and how a genome changes what drugs do."""

import numpy as np
from jaxtyping import Float64, Int8

from residency.simulation.genome import genes
from residency.simulation.stars import call

STANDARD_MG = 5.0
"""What everybody is given at first, a day."""
_USUAL_MG = 6.2
_VKORC1, _CYP2C9 = 0.28, 0.45


def scores(gene: str, count: Int8[np.ndarray, "patient variant"]) -> Float64[np.ndarray, " patient"]:
    """Give the activity of one gene, the sum of two haplotypes' scores."""
    first = 0
    for one in genes().gene:
        last = first + len(one.variant)
        if one.name == gene:
            return np.array([call(gene, row).score for row in count[:, first:last]])
        first = last
    raise KeyError(gene)


def warfarin_need_mg(count: Int8[np.ndarray, "patient variant"]) -> Float64[np.ndarray, " patient"]:
    """Give the daily dose at which the INR is 2.5: less for slow CYP2C9 and for sensitive VKORC1."""
    less = _VKORC1 * (2 - scores("VKORC1", count)) + _CYP2C9 * (2 - scores("CYP2C9", count))
    need: np.ndarray = _USUAL_MG * np.exp(-less)
    return need


def genetic_score(name: str, count: Int8[np.ndarray, "patient variant"]) -> Float64[np.ndarray, " patient"]:
    """Give one score of treatments.toml; 0 where the genome does not matter.

    Args:
        name: `warfarin_under` and `warfarin_over`: how far the standard dose is below or above the need, as a
            logarithm; `clopidogrel_loss`: 0 for normal CYP2C19, 1 for none.
        count: copies of the alternate alleles.
    """
    if name == "clopidogrel_loss":
        return np.clip(1 - scores("CYP2C19", count) / 2, 0.0, 1.0)
    off = np.log(STANDARD_MG / warfarin_need_mg(count))
    return np.maximum(off if name == "warfarin_over" else -off, 0.0)
