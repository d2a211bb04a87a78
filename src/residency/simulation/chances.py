"""In: a seed, a patient's number and a purpose. Out: the chance of that purpose alone.

Each purpose has a stream of its own, so that one more draw for notes moves no image. Traits are 0, charts 1
(`people.py`), genomes 2 (`genome.py`), fates 3, what doctors see 10 (`people.py`).
"""

from typing import Final

import numpy as np

NOTES: Final = 4
SEQUENCED: Final = 5
LAPSES: Final = 6
RECORDS: Final = 7
IMAGES: Final = 8
BODY: Final = 9


def stream(seed: int, number: int, purpose: int) -> np.random.Generator:
    """Give the chance of one purpose for one patient."""
    return np.random.default_rng([seed, number, purpose])
