"""In: a seed and numbers of patients. Out: who they are: site, sex, age, habits, and their chance."""

from dataclasses import dataclass
from datetime import date

import numpy as np
from jaxtyping import Bool, Float64, Int8, Int64

from residency.simulation.genome import genomes
from residency.simulation.medicine import SHARE_NORTH, hospital
from residency.simulation.spec import HospitalSpec

DAY_US = 86_400_000_000
_TRAITS, _CHART, _FATE, _SEEN = 0, 1, 3, 10
_LEAST_INSURED = (0.13, 0.24)
_PACE = 0.35
_SEEN_ERROR = 0.25


@dataclass(frozen=True)
class People:
    """Patients of one block, by number.

    Attributes:
        number: of each patient; nothing else decides what is drawn.
        north: at the north site, else the south.
        entry_day: first day at the hospital, in days since 1970.
        age: at entry, in years.
        bmi: body mass index without illness.
        height: in cm.
        stay_days: until the end of the records or until moving away, from entry.
        clocks: unit exponentials that the changes wait for, in the order of `course.Clocks`.
        lab: each patient's own level of each measurement, in standard deviations.
        african: of African descent; moves the frequencies of variants.
        count: copies of the alternate allele of each variant.
        insured: else they are seen, measured and treated less.
        pace: how fast each disease moves in this person, about 1; of a strike, how hard it is.
        seen: what a doctor sees of the logarithm of each disease's pace, with error.
        hidden: a cause that nobody measures, about 0; matters in the variant `hidden_confounder` alone.
        lot: uniform numbers that decide on each treatment.
        lead: of each acute disease, the time from first sign to recognition, in standard deviations.
        delay: part of a day from a fatal strike to death.
        growth: how fast a tumour grows, in standard deviations.
    """

    number: Int64[np.ndarray, " patient"]
    north: Bool[np.ndarray, " patient"]
    entry_day: Int64[np.ndarray, " patient"]
    age: Float64[np.ndarray, " patient"]
    male: Bool[np.ndarray, " patient"]
    smoker: Bool[np.ndarray, " patient"]
    former: Bool[np.ndarray, " patient"]
    bmi: Float64[np.ndarray, " patient"]
    height: Float64[np.ndarray, " patient"]
    hypertension: Bool[np.ndarray, " patient"]
    stay_days: Float64[np.ndarray, " patient"]
    clocks: Float64[np.ndarray, "patient clock"]
    lab: Float64[np.ndarray, "patient lab"]
    african: Bool[np.ndarray, " patient"]
    count: Int8[np.ndarray, "patient variant"]
    insured: Bool[np.ndarray, " patient"]
    pace: Float64[np.ndarray, "patient disease"]
    seen: Float64[np.ndarray, "patient disease"]
    hidden: Float64[np.ndarray, " patient"]
    lot: Float64[np.ndarray, "patient treatment"]
    lead: Float64[np.ndarray, "patient disease"]
    delay: Float64[np.ndarray, " patient"]
    growth: Float64[np.ndarray, " patient"]

    def __len__(self) -> int:
        return len(self.number)


def chart_rng(seed: int, number: int) -> np.random.Generator:
    """Give the chance of one patient's chart."""
    return np.random.default_rng([seed, number, _CHART])


def people(spec: HospitalSpec, first: int, n: int) -> People:
    """Draw patients `first` to `first + n`.

    Returns:
        Each patient's draws depend on the seed and the patient's number alone.
    """
    labs = len(hospital().lab)
    number = np.arange(first, first + n, dtype=np.int64)
    rngs = [np.random.default_rng([spec.seed, int(one), _TRAITS]) for one in number]
    u = np.stack([rng.random(10) for rng in rngs])
    z = np.stack([rng.standard_normal(3 + labs) for rng in rngs])
    e = np.stack([rng.standard_exponential(2) for rng in rngs])
    start = date.fromisoformat(spec.start).toordinal() - date(1970, 1, 1).toordinal()
    late = np.where(u[:, 1] < 0.5, 0.02, 0.6) * u[:, 2]
    offset = np.floor(late * spec.days).astype(np.int64)
    male = u[:, 3] < 0.48
    age = np.clip(57 + 13 * z[:, 0], 22, 90)
    bmi = np.clip(27 + 4.6 * z[:, 1], 17, 50)
    smoker = u[:, 4] < 0.22 + 0.05 * male
    former = (~smoker) & (u[:, 5] < 0.35 + 0.05 * male)
    pressure = 1 / (1 + np.exp(-(-0.9 + 0.055 * (age - 57) + 0.09 * (bmi - 27))))
    return People(
        number=number, north=u[:, 0] < SHARE_NORTH, entry_day=start + offset, age=age, male=male,
        smoker=smoker, former=former, bmi=bmi, height=163 + 13 * male + 6.5 * z[:, 2],
        hypertension=u[:, 6] < pressure,
        stay_days=np.minimum(e[:, -1] * 40 * 365.25, spec.days - offset - 0.001), lab=z[:, 3:],
        **_fates(spec.seed, number),
    )  # fmt: skip


def n_clocks() -> int:
    """Count what a person waits for: onsets, diagnoses, happenings, fatal strikes, death."""
    found = hospital()
    acute = len(found.disease) - len(found.chronic)
    return 2 * len(found.chronic) + len(found.happening) + acute + 1


def _fates(seed: int, number: Int64[np.ndarray, " patient"]) -> dict[str, np.ndarray]:
    """Draw genomes, clocks, and what else nobody sees, from streams of their own."""
    diseases, treatments = len(hospital().disease), len(hospital().treatment)
    genome = genomes(seed, number)
    rngs = [np.random.default_rng([seed, int(one), _FATE]) for one in number]
    u = np.stack([rng.random(2 + treatments) for rng in rngs])
    z = np.stack([rng.standard_normal(2 + 2 * diseases) for rng in rngs])
    clocks = np.stack([rng.standard_exponential(n_clocks()) for rng in rngs])
    log_pace = _PACE * z[:, 2 : 2 + diseases]
    errors = (np.random.default_rng([seed, int(one), _SEEN]) for one in number)
    return {
        "clocks": clocks,
        "african": genome.african,
        "count": genome.count,
        "insured": u[:, 0] >= np.array(_LEAST_INSURED)[genome.african.astype(int)],
        "delay": 0.02 + 0.7 * u[:, 1],
        "lot": u[:, 2:],
        "hidden": z[:, 0],
        "growth": z[:, 1],
        "pace": np.exp(log_pace),
        "seen": log_pace + _SEEN_ERROR * np.stack([rng.standard_normal(diseases) for rng in errors]),
        "lead": z[:, 2 + diseases :],
    }
