"""In: a seed and numbers of patients. Out: who they are: site, sex, age, habits, and their chance."""

from dataclasses import dataclass
from datetime import date

import numpy as np
from jaxtyping import Bool, Float64, Int64

from residency.simulation.medicine import SHARE_NORTH, hospital
from residency.simulation.spec import HospitalSpec

DAY_US = 86_400_000_000
_TRAITS, _CHART = 0, 1


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
        clocks: unit exponentials that the onsets, diagnoses and death wait for.
        lab: each patient's own level of each measurement, in standard deviations.
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
    diseases, labs = len(hospital().disease), len(hospital().lab)
    number = np.arange(first, first + n, dtype=np.int64)
    rngs = [np.random.default_rng([spec.seed, int(one), _TRAITS]) for one in number]
    u = np.stack([rng.random(10) for rng in rngs])
    z = np.stack([rng.standard_normal(3 + labs) for rng in rngs])
    e = np.stack([rng.standard_exponential(2 * diseases + 2) for rng in rngs])
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
        number=number,
        north=u[:, 0] < SHARE_NORTH,
        entry_day=start + offset,
        age=age,
        male=male,
        smoker=smoker,
        former=former,
        bmi=bmi,
        height=163 + 13 * male + 6.5 * z[:, 2],
        hypertension=u[:, 6] < pressure,
        stay_days=np.minimum(e[:, -1] * 40 * 365.25, spec.days - offset - 0.001),
        clocks=e[:, :-1],
        lab=z[:, 3:],
    )
