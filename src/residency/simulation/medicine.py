"""In: the package's TOML tables. Out: diseases, laboratory, codes and sites, checked."""

from dataclasses import field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal

from residency.contract import specs
from residency.contract.specs import spec

Given = Literal["", "hypertension", "obese", "smoker", "former", "smoking", "male", "female"]


@spec
class Rates:
    """A rate per year of a reference person of 60, and logarithms of rate ratios."""

    per_year: float
    age: float = 0.0
    male: float = 0.0
    smoker: float = 0.0
    former: float = 0.0
    bmi: float = 0.0
    hypertension: float = 0.0


@spec
class Marker:
    """How a value moves: at onset, per year until diagnosis up to a limit; what part stays when treated."""

    lab: str
    step: float
    per_year: float
    limit: float
    after: float


@spec
class Sign:
    """A complaint coded at a visit before the diagnosis."""

    code: str
    chance: float


@spec
class DiseaseDrug:
    """A drug for a disease, or for its first complaints."""

    code: str
    before: float
    after: float


@spec
class DiseaseProcedure:
    """A procedure for a disease: its chance at a visit."""

    code: str
    preclinical: float
    diagnosis: float
    later: float


@spec
class Visits:
    """Visits a year on top of the usual ones."""

    preclinical: float
    diagnosed: float


@spec
class Disease:
    """One disease: when it begins, when it is found, and what is seen of it."""

    name: str
    title: str
    codes: tuple[str, ...]
    weights: tuple[float, ...]
    mortality: float
    visits: Visits
    stays: float
    panels: tuple[str, ...]
    onset: Rates
    diagnosed: float
    marker: tuple[Marker, ...]
    sign: tuple[Sign, ...]
    drug: tuple[DiseaseDrug, ...]
    procedure: tuple[DiseaseProcedure, ...]
    others: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.codes) != len(self.weights) or abs(sum(self.weights) - 1) > 1e-9:
            raise ValueError(f"{self.name}: one weight a code, adding up to 1")


@spec
class Panel:
    """Tests that are made together, and their chance at a visit of each site."""

    name: str
    north: float
    south: float


@spec
class Lab:
    """One measurement, in conventional units and in SI."""

    code: str
    display: str
    panel: str
    unit: str
    mean: float
    between: float
    within: float
    si: str = ""
    factor: float = 1.0
    offset: float = 0.0
    male: float = 0.0
    age: float = 0.0
    log: bool = False
    digits: int = 0
    si_digits: int = 0
    high: float = 1e9


@spec
class Condition:
    """A diagnosis in both vocabularies."""

    icd: str
    icd_display: str
    snomed: str
    snomed_display: str
    kind: Literal["lasting", "passing", "disease"]
    given: Given = ""
    rate: float = 0.0


@spec
class Drug:
    """A drug, what it is given for, and its dose."""

    code: str
    display: str
    treats: str
    share: float
    dose: float
    unit: str
    short: bool


@spec
class Procedure:
    """A procedure, and how often it is done for no reason of ours."""

    code: str
    display: str
    weight: float


@spec
class Site:
    """One hospital of the two.

    Attributes:
        name: of its folder.
        icd: codes diagnoses in ICD-10-CM, else in SNOMED CT.
        si: reports SI units.
        utc_offset: on its times.
        visits: usual ones a year.
        zips: of its patients' homes.
    """

    name: Literal["north", "south"]
    icd: bool
    si: bool
    utc_offset: str
    visits: float
    zips: tuple[str, ...]


NORTH: Final = Site(
    name="north", icd=True, si=False, utc_offset="-05:00", visits=1.7, zips=("04101", "04106", "04401")
)
SOUTH: Final = Site(
    name="south", icd=False, si=True, utc_offset="+01:00", visits=1.4, zips=("20095", "20144", "22765")
)
SITES: Final = (NORTH, SOUTH)
SHARE_NORTH: Final = 0.6


@spec
class Hospital:
    """All tables."""

    death: Rates
    disease: tuple[Disease, ...]
    panel: tuple[Panel, ...]
    lab: tuple[Lab, ...]
    condition: tuple[Condition, ...]
    drug: tuple[Drug, ...]
    procedure: tuple[Procedure, ...]

    def __post_init__(self) -> None:
        """Refuse a name that no table holds."""
        known = (
            {one.name for one in self.disease}
            | {one.name for one in self.panel}
            | {lab.code for lab in self.lab}
            | {drug.code for drug in self.drug}
            | {procedure.code for procedure in self.procedure}
            | {one.icd for one in self.condition}
        )
        unknown = sorted(_named(self) - known)
        if unknown:
            raise ValueError(f"named but in no table: {', '.join(unknown)}")

    @property
    def outcomes(self) -> dict[str, list[str]]:
        """Codes of both systems, as our tables spell them, by disease."""
        snomed = {one.icd: one.snomed for one in self.condition}
        return {
            one.name: [
                *(f"ICD10CM/{code}" for code in one.codes),
                *(f"SNOMED/{snomed[code]}" for code in one.codes),
            ]
            for one in self.disease
        }


def _named(hospital: Hospital) -> set[str]:
    found = {lab.panel for lab in hospital.lab} | {drug.treats for drug in hospital.drug if drug.treats}
    for one in hospital.disease:
        found |= {*one.codes, *one.others, *one.panels}
        found |= {marker.lab for marker in one.marker}
        found |= {sign.code for sign in one.sign} | {drug.code for drug in one.drug}
        found |= {procedure.code for procedure in one.procedure}
    return found


@cache
def hospital() -> Hospital:
    """Read the tables once.

    Raises:
        SpecError: a table is wrong.
    """
    found: dict[str, Any] = {}
    for name in ("diseases", "laboratory", "codes"):
        found |= specs.load_toml(Path(str(files("residency.simulation").joinpath(f"{name}.toml"))))
    return specs.read(Hospital, found, where="residency.simulation")
