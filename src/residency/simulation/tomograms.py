"""In: chests. Out: CT of the chest: slices of 64 by 64 in Hounsfield units, from the lung's foot to its apex.

A slice is an average over its thickness, so that a nodule smaller than a voxel still leaves its volume in the
image: the units above the lung's, added up over the voxels around it, tell how large it is.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float32, Int16

from residency.simulation.anatomy import Chest

SIZE: Final = 64
SPACING_MM: Final = 5.5
LENGTH_MM: Final = 216.0
LUNG_HU: Final = -850.0
OUTSIDE_HU: Final = -1024
_Volume = Float32[np.ndarray, "slice row column"]
_Length = _Volume | np.float32 | float


def _single(of: np.ndarray) -> np.ndarray:
    """Give numbers in single precision."""
    found: np.ndarray = np.asarray(of, np.float32)
    return found


@dataclass(frozen=True)
class Tomogram:
    """A CT of one chest.

    Attributes:
        units: Hounsfield units.
        z_mm: height of each slice, rising to the head.
        step_mm: between slices.
    """

    units: Int16[np.ndarray, "slice row column"]
    z_mm: tuple[float, ...]
    step_mm: float


def tomogram(chest: Chest, n_slices: int, rng: np.random.Generator) -> Tomogram:
    """Render a CT."""
    step = LENGTH_MM / n_slices
    z = ((np.arange(n_slices) - (n_slices - 1) / 2) * step).astype(np.float32)
    at = ((np.arange(SIZE, dtype=np.float32) - (SIZE - 1) / 2) * SPACING_MM).astype(np.float32)
    shape = (n_slices, SIZE, SIZE)
    x, y, zz = (np.broadcast_to(a, shape) for a in (at[None, None], at[None, :, None], z[:, None, None]))
    units, lung = _chest_wall(chest, x, y, zz)
    units = np.maximum(units, np.where(lung > 0.5, _vessels(chest, x, y, zz), -2000))
    units = _mediastinum(chest, units, (x, y, zz))
    units = units + _fluid(chest, lung, x, y, zz)
    units = units + _nodules(chest, (x, y, zz), step)
    noise = rng.standard_normal(shape, dtype=np.float32)
    noise = noise + np.roll(noise, 1, 1) + np.roll(noise, 1, 2)
    units = np.clip(units + 11 * noise * (units > -980), -1000, 1800)
    round_ = x**2 + y**2 > (SIZE / 2 * SPACING_MM) ** 2
    whole = np.where(round_, OUTSIDE_HU, np.round(units)).astype(np.int16)
    return Tomogram(whole, tuple(float(one) for one in z), step)


def _in(x: _Volume, y: _Volume, radius: tuple[_Length, _Length]) -> _Volume:
    """Say how far inside an ellipse in the plane a voxel lies, in mm; its edge is softened by a voxel."""
    a, b = np.maximum(radius[0], 1), np.maximum(radius[1], 1)
    away = (1 - np.sqrt((x / a) ** 2 + (y / b) ** 2)) * np.minimum(a, b)
    return _single(np.clip(away / SPACING_MM + 0.5, 0, 1))


def _chest_wall(chest: Chest, x: _Volume, y: _Volume, z: _Volume) -> tuple[_Volume, _Volume]:
    """Give body, fat, ribs, spine and lungs; and how much of each voxel is lung."""
    half = np.float32(chest.body.thorax_mm / 2)
    fat = np.float32(12 * chest.body.stout**2)
    deep = half * 0.68
    wide = half * np.sqrt(np.clip(1 - ((z + 20) / 190) ** 2, 0.2, 1))
    skin = _in(x, y, (wide + fat + 14 + 0.25 * np.maximum(z, 0), deep + fat + 12))
    muscle = _in(x, y, (wide + 12, deep + 10))
    ribs = muscle - _in(x, y, (wide + 1, deep + 1))
    turn = np.arctan2(y / deep, x / wide)
    ribs = ribs * (np.mod(turn * 2.9 + z / 17 + np.sign(x) * 0.4, 1.0) < 0.3)
    units = -1000 + 900 * skin + 145 * muscle + 330 * ribs
    spine = _in(x, y - (deep - 6), (np.full_like(x, 17), np.full_like(x, 15)))
    units = units + (190 + 60 * np.cos(2 * np.pi * z / 24)) * spine
    lung = _lung(chest, x, y, z)
    units = units + (LUNG_HU - units) * lung
    dome = _in(x + 48, y, (76 - 0.55 * np.maximum(z + 108, 0) * 1.6, 62 - np.maximum(z + 108, 0) * 0.9))
    return _single(units + (55 - units) * dome * (z < -55)), _single(lung * (1 - dome))


def _lung(chest: Chest, x: _Volume, y: _Volume, z: _Volume) -> _Volume:
    half = np.float32(chest.body.thorax_mm / 2)
    t = np.clip((108 - z) / 216, 0.02, 1)
    grow = np.sqrt(np.clip(1 - (1 - t) ** 2.4, 0, 1))
    side = np.sign(x)
    centre = half * 0.53
    lung = _in(x - side * centre, y + 3, (half * 0.43 * grow, half * 0.62 * grow))
    return _single(lung)


def _vessels(chest: Chest, x: _Volume, y: _Volume, z: _Volume) -> _Volume:
    """Give branching vessels as a fixed pattern of the person, denser at the hilum and with congestion."""
    rng = np.random.default_rng(chest.body.seed)
    coarse = rng.standard_normal((12, 32, 32), dtype=np.float32)
    fine = np.repeat(np.repeat(coarse, SIZE // 32, axis=1), SIZE // 32, axis=2)
    rows = np.clip(((z[:, 0, 0] + 108) / 216 * 12).astype(int), 0, 11)
    away = np.sqrt((np.abs(x) - 30) ** 2 + y**2 + (z / 1.5) ** 2)
    near = np.exp(-away / (38 + 22 * chest.congestion))
    found = LUNG_HU + 70 * chest.congestion + np.where(fine[rows] > 1.1, 900 * near, 0) + 60 * near
    return _single(np.minimum(found, 60))


def _mediastinum(chest: Chest, units: _Volume, at: tuple[_Volume, _Volume, _Volume]) -> _Volume:
    """Lay heart, aorta, windpipe and the tissue between them over the rest."""
    x, y, z = at
    middle = _in(x, y + 2, (np.full_like(x, 27), np.full_like(x, 42)))
    units = units + (30 - units) * middle
    wide = chest.ratio * chest.body.thorax_mm
    level = np.sqrt(np.clip(1 - ((z + 38) / 62) ** 2, 0, 1))
    heart = _in(x - 0.17 * wide, y + 18, (wide / 2 * level, wide * 0.42 * level)) * (level > 0.05)
    units = units + (48 - units) * heart
    arch = _in(x - 12, y - 12, (np.full_like(x, 14), np.full_like(x, 20))) * (np.abs(z - 40) < 14)
    down = _in(x - 24, y - 40, (np.full_like(x, 13), np.full_like(x, 13))) * (z < 40)
    units = units + (45 - units) * np.maximum(arch, down)
    pipe = _in(x, y - 4, (np.full_like(x, 9), np.full_like(x, 9))) * (z > 14)
    return _single(units + (-990 - units) * pipe)


def _fluid(chest: Chest, lung: _Volume, x: _Volume, y: _Volume, z: _Volume) -> _Volume:
    """Give pleural fluid, which lies at the back and below."""
    much = chest.effusion * np.where(x < 0, 1.0, 0.7)
    low = chest.body.thorax_mm * 0.34 - 70 * much * np.clip((60 - z) / 150, 0, 1)
    return _single((10 - LUNG_HU) * lung * np.clip((y - low) / SPACING_MM, 0, 1) * (much > 0.03))


def _nodules(chest: Chest, at: tuple[_Volume, _Volume, _Volume], step: float) -> _Volume:
    """Add nodules: a ball blurred by the voxel, whose excess of units adds up to its volume."""
    total = np.zeros_like(at[0])
    tumour = chest.body.tumour_hu
    for mm, place, hu in (
        (chest.benign_mm, chest.body.place, 40.0),
        (chest.tumour_mm, chest.body.tumour, tumour),
    ):
        if mm > 0:
            ball = _ball(at, spot(chest, place), mm / 2, step)
            total += np.float32(hu - LUNG_HU) * ball
    return _single(total)


def _ball(
    at: tuple[_Volume, _Volume, _Volume], centre: tuple[float, float, float], radius: float, step: float
) -> _Volume:
    """Give the part of each voxel that a ball takes up, exact in sum; only voxels near it are looked at."""
    total = np.zeros(at[0].shape, np.float32)
    lines = [at[2][:, 0, 0] - centre[2], at[1][0, :, 0] - centre[1], at[0][0, 0, :] - centre[0]]
    size = (step, SPACING_MM, SPACING_MM)
    near = [np.abs(line) < radius + width for line, width in zip(lines, size, strict=True)]
    part = (np.arange(5) - 2) / 5
    fine = [(line[at_][:, None] + part * w).ravel() for line, at_, w in zip(lines, near, size, strict=True)]
    away = fine[0][:, None, None] ** 2 + fine[1][None, :, None] ** 2 + fine[2][None, None, :] ** 2
    n = [int(one.sum()) for one in near]
    ball = (away < radius**2).reshape(n[0], 5, n[1], 5, n[2], 5).sum(axis=(1, 3, 5)).astype(np.float32)
    volume = 4 / 3 * np.pi * radius**3 / (step * SPACING_MM**2)
    total[np.ix_(*near)] = ball * np.float32(volume / max(float(ball.sum()), 1e-6))
    return total


def spot(chest: Chest, place: tuple[float, float, float]) -> tuple[float, float, float]:
    """Give where a nodule lies, in mm from the middle: x to the left, y to the back, z to the head."""
    side, height, depth = place
    half = chest.body.thorax_mm / 2
    z = 78 - 130 * height
    t = min(max((108 - z) / 216, 0.02), 1.0)
    grow = float(np.sqrt(1 - (1 - t) ** 2.4))
    x = side * half * (0.53 + 0.12 * grow)
    return float(x), float(-3 + (depth - 0.5) * half * 0.55 * grow), float(z)
