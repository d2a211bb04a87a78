"""In: a person and a day. Out: what an X-ray or a CT of their chest would see: heart, congestion, nodules."""

from dataclasses import dataclass

import numpy as np

from residency.simulation.contacts import Person
from residency.simulation.latent import nodule_mm, severity


@dataclass(frozen=True)
class Body:
    """How one person is built; the same in all their images.

    Attributes:
        thorax_mm: widest inner width of the rib cage.
        ratio: width of the healthy heart over that of the thorax.
        turn: of the chest to the left or right, −1 to 1.
        stout: how thick the chest wall is, about 1.
        benign_mm: a nodule that never grows; 0 where there is none.
        place: of that nodule: side (−1 right, 1 left), height and depth in the lung, 0 to 1.
        tumour: the same of a tumour, should one come.
        tumour_hu: its density.
        seed: of the ribs, vessels and noise.
    """

    thorax_mm: float
    ratio: float
    turn: float
    stout: float
    benign_mm: float
    place: tuple[float, float, float]
    tumour: tuple[float, float, float]
    tumour_hu: float
    seed: int


@dataclass(frozen=True)
class Chest:
    """A chest on one day.

    Attributes:
        ratio: width of the heart over that of the thorax.
        congestion: of the lungs, 0 to 1.
        effusion: fluid in the pleura, 0 to 1.
        benign_mm: a nodule of old; 0 where there is none.
        tumour_mm: a tumour; 0 where there is none.
    """

    body: Body
    male: bool
    ratio: float
    congestion: float
    effusion: float
    benign_mm: float
    tumour_mm: float


def body(person: Person, rng: np.random.Generator) -> Body:
    """Draw how a person is built."""
    u, z = rng.random(12), rng.standard_normal(3)
    old = max(person.age - 50.0, 0.0)
    return Body(
        thorax_mm=float(np.clip(262 + 26 * person.male + 11 * z[0], 215, 320)),
        ratio=float(np.clip(0.445 + 0.0008 * old + 0.015 * person.hypertension + 0.02 * z[1], 0.38, 0.56)),
        turn=float(np.clip(0.4 * z[2], -1, 1)),
        stout=float(np.clip(1 + 0.02 * (person.bmi - 27), 0.75, 1.5)),
        benign_mm=float(4 + 5 * u[1]) if u[0] < 0.1 + 0.08 * (person.smoker or person.former) else 0.0,
        place=_place(u[2:5]),
        tumour=_place(u[5:8], upper=True),
        tumour_hu=float(35 - 45 * (u[8] < 0.2)),
        seed=int(u[9] * 2**31),
    )  # fmt: skip


def _place(u: np.ndarray, *, upper: bool = False) -> tuple[float, float, float]:
    height = 0.15 + 0.7 * u[1] ** (1.6 if upper else 1.0)  # tumours lie in the upper lobes more often
    return (1.0 if u[0] < 0.42 else -1.0), float(height), float(u[2])


def chest(person: Person, built: Body, day: float, rng: np.random.Generator) -> Chest:
    """Say what there is to be seen on a day; a breath less deep widens the heart a little."""
    z, u = rng.standard_normal(), rng.random()
    at = np.array([day])
    failing = float(severity(person, "heart_failure", at)[0])
    wet = max(failing - 0.3, 0.0) * 1.6
    return Chest(
        body=built,
        male=person.male,
        ratio=float(np.clip(built.ratio + 0.2 * failing + 0.012 * z, 0.36, 0.74)),
        congestion=float(np.clip(failing * (0.6 + 0.6 * u), 0.0, 1.0)),
        effusion=float(np.clip(wet * (u > 0.35), 0.0, 1.0)),
        benign_mm=built.benign_mm,
        tumour_mm=min(float(nodule_mm(person, at)[0]), 70.0),
    )
