"""In: how many patients, which seed, which years. Out: the checked settings of a simulated hospital."""

from datetime import date
from typing import Literal

from residency.contract.specs import spec

YEAR_DAYS = 364
"""Days in which intensities are constant: four quarters."""
QUARTER_DAYS = 91
"""Days between the times at which the truth is told."""
BEFORE_YEARS = 8
"""Years before the first visit in which illness may have begun."""
HORIZONS_DAYS = (180, 365, 1825)

Variant = Literal["plain", "hidden_confounder", "wrong_hazard_shape", "informative_missingness"]
"""How the hospital breaks what an analysis would like to assume; see docs/simulation.md."""


@spec
class HospitalSpec:
    """Which hospital to simulate.

    Attributes:
        n_patients: at both sites together.
        seed: the same seed gives the same bytes; patient i does not depend on how many others there are.
        start: first day of the records, `2005-01-01`.
        end: day after the last, `2021-01-01`.
        variant: `plain`, or which assumption does not hold.
        images: write DICOM files.
        notes: write notes.
        genomes: write VCF files.
        faulty_per_1000: of a thousand imaging studies, how many are planted with a fault.
        lapses: about the share of patients in whose care something slips, as far as there is occasion.
    """

    n_patients: int = 1000
    seed: int = 0
    start: str = "2005-01-01"
    end: str = "2021-01-01"
    variant: Variant = "plain"
    images: bool = True
    notes: bool = True
    genomes: bool = True
    faulty_per_1000: int = 8
    lapses: float = 0.07

    def __post_init__(self) -> None:
        if self.n_patients < 1:
            raise ValueError("n_patients must be 1 or more")
        if self.seed < 0:
            raise ValueError("seed must be 0 or more")
        if not 0 <= self.faulty_per_1000 <= 1000 or not 0 <= self.lapses <= 1:
            raise ValueError("faulty_per_1000 must be 0 to 1000, lapses 0 to 1")
        if not 365 <= self.days <= 365 * 40:
            raise ValueError("start to end must be 1 to 40 years")

    @property
    def days(self) -> int:
        """Days from start to end."""
        return (date.fromisoformat(self.end) - date.fromisoformat(self.start)).days

    @property
    def n_quarters(self) -> int:
        """Times at which the truth is told, at most, for one patient."""
        return self.days // QUARTER_DAYS + 1
