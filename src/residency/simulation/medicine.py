"""In: the package's TOML tables. Out: diseases, laboratory, codes and sites, checked."""

import math
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
class Vital:
    """How a value moves in the hours of an acute disease: per hour until it is recognised, up to a limit."""

    lab: str
    per_hour: float
    limit: float


@spec
class Sign:
    """A complaint coded at a visit before the diagnosis."""

    code: str
    chance: float


@spec
class DiseaseDrug:
    """A drug for a disease, or for its first complaints; for some days, or for good (0)."""

    code: str
    before: float
    after: float
    days: float = 0.0


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
    """One disease: when it begins, when it is found, and what is seen of it.

    An acute one strikes once, and is recognised hours later. `others`: logarithms of rate ratios from the
    hidden onset of other diseases on; `known`: once they are diagnosed; `pace`: times the logarithm of their
    pace. `fatal`: share of the strikes that kill; `lead_hours`: median from the first sign to recognition;
    `history`: how later visits call it.
    """

    name: str
    title: str
    codes: tuple[str, ...]
    weights: tuple[float, ...]
    mortality: float
    visits: Visits
    stays: float
    panels: tuple[str, ...]
    onset: Rates
    marker: tuple[Marker, ...]
    sign: tuple[Sign, ...]
    drug: tuple[DiseaseDrug, ...]
    procedure: tuple[DiseaseProcedure, ...]
    diagnosed: float = 0.0
    others: dict[str, float] = field(default_factory=dict)
    known: dict[str, float] = field(default_factory=dict)
    pace: dict[str, float] = field(default_factory=dict)
    kind: Literal["chronic", "acute"] = "chronic"
    fatal: float = 0.0
    lead_hours: float = 0.0
    history: str = ""
    vital: tuple[Vital, ...] = ()
    hidden: float = 0.0

    def __post_init__(self) -> None:
        if len(self.codes) != len(self.weights) or abs(sum(self.weights) - 1) > 1e-9:
            raise ValueError(f"{self.name}: one weight a code, adding up to 1")


@spec
class Complication:
    """What may befall who has a disease on record, once; coded at a stay.

    `of`: the disease; the other fields are a disease's.
    """

    name: str
    title: str
    of: str
    code: str
    onset: Rates
    others: dict[str, float] = field(default_factory=dict)
    known: dict[str, float] = field(default_factory=dict)
    pace: dict[str, float] = field(default_factory=dict)
    hidden: float = 0.0


@spec
class Propensity:
    """Logarithm of the odds of being treated, at 70; `seen`: times what was seen of the disease's pace."""

    usual: float
    age: float = 0.0
    male: float = 0.0
    hypertension: float = 0.0
    seen: float = 0.0
    insured: float = 0.0
    north: float = 0.0
    hidden: float = 0.0


@spec
class Finding:
    """What a doctor decides by, as it is written down: `usual`, moved by `per` times what was seen."""

    code: str
    display: str
    unit: str
    usual: float
    per: float
    low: float
    high: float
    log: bool = False

    def value(self, seen: float) -> float:
        """Give the number that is written down."""
        raw = self.usual * math.exp(self.per * seen) if self.log else self.usual + self.per * seen
        return float(round(min(max(raw, self.low), self.high)))


@spec
class Genetic:
    """What a genetic score adds to the logarithm of a drug's effect."""

    score: Literal["warfarin_under", "warfarin_over", "clopidogrel_loss"]
    per: float


@spec
class Treatment:
    """A question of treatment: a drug, or another or none, from the day of a diagnosis.

    `effect`: logarithm of the rate ratio of the drug, against the alternative, on what strikes.
    """

    name: str
    drug: str
    of: str
    effect: dict[str, float]
    finding: Finding
    propensity: Propensity
    alternative: str = ""
    genetic: dict[str, Genetic] = field(default_factory=dict)


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
    complication: tuple[Complication, ...]
    treatment: tuple[Treatment, ...]
    panel: tuple[Panel, ...]
    lab: tuple[Lab, ...]
    condition: tuple[Condition, ...]
    drug: tuple[Drug, ...]
    procedure: tuple[Procedure, ...]

    def __post_init__(self) -> None:
        """Refuse a name that no table holds."""
        known = (
            {one.name for one in self.disease}
            | {one.name for one in self.complication}
            | {one.name for one in self.panel}
            | {lab.code for lab in self.lab}
            | {drug.code for drug in self.drug}
            | {procedure.code for procedure in self.procedure}
            | {one.icd for one in self.condition}
        )
        unknown = sorted(_named(self) - known)
        if unknown:
            raise ValueError(f"named but in no table: {', '.join(unknown)}")
        kinds = [one.kind for one in self.disease]
        if kinds != sorted(kinds, reverse=True):
            raise ValueError("chronic diseases come before acute ones")

    @property
    def chronic(self) -> tuple[Disease, ...]:
        """Diseases that begin unseen and are diagnosed later; the first columns of all."""
        return tuple(one for one in self.disease if one.kind == "chronic")

    @property
    def happening(self) -> tuple[Disease | Complication, ...]:
        """What strikes at a moment: acute diseases, then complications."""
        return (*self.disease[len(self.chronic) :], *self.complication)

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
        found |= {*one.known, *one.pace, *({one.history} - {""})} | {vital.lab for vital in one.vital}
    for other in hospital.complication:
        found |= {other.of, other.code, *other.others, *other.known, *other.pace}
    for drug in hospital.treatment:
        found |= {drug.drug, drug.of, *drug.effect, *drug.genetic, *({drug.alternative} - {""})}
    return found


@cache
def hospital() -> Hospital:
    """Read the tables once.

    Raises:
        SpecError: a table is wrong.
    """
    found: dict[str, Any] = {}
    for name in ("diseases", "treatments", "laboratory", "codes"):
        found |= specs.load_toml(Path(str(files("residency.simulation").joinpath(f"{name}.toml"))))
    return specs.read(Hospital, found, where="residency.simulation")
