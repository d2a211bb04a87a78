"""In: chests. Out: chest radiographs as a detector holds them: 12 bits, brighter where more was in the way.

An X-ray is a map of what the beam went through: the body's thickness, less where there is lung, more where
there is heart, bone or fluid. Everything is computed on one grid in millimetres, for many chests at once.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float32, UInt16

from residency.simulation.anatomy import Chest

SIZE: Final = 128
SPACING_MM: Final = 2.8
BITS: Final = 12
_Map = Float32[np.ndarray, "image row column"]
_Column = Float32[np.ndarray, "image 1 1"]


def _single(of: np.ndarray) -> np.ndarray:
    """Give numbers in single precision."""
    found: np.ndarray = np.asarray(of, np.float32)
    return found


@dataclass(frozen=True)
class _View:
    """The grid and the outlines of some chests; x grows to the patient's left, y downwards, both in mm."""

    x: _Map
    y: _Map
    half: _Column
    top: _Column
    wall: _Map
    dome: _Map
    heart: _Map
    n: int


def radiographs(
    chests: list[Chest], rngs: list[np.random.Generator]
) -> UInt16[np.ndarray, "image row column"]:
    """Render one radiograph of each chest, each with its own chance."""
    noise = np.stack([rng.standard_normal((3, SIZE, SIZE), dtype=np.float32) for rng in rngs])
    view = _view(chests)
    lung = _lungs(view)
    density = _body(view, chests) + _heart(view, chests) * 0.62 - 0.52 * lung
    density += _bones(view, lung, chests) + lung * _vessels(view, chests, noise[:, 0])
    density += _fluid(view, chests, lung) + _nodules(view, chests)
    crowded = 1 - np.exp(-np.maximum(density, 0) / np.float32(1.25))  # as dense parts are on film
    blurred = _blur(np.float32(1.9) * crowded, 1)
    blurred += 0.012 * noise[:, 1] + 0.02 * _blur(noise[:, 2], 3)
    low, high = np.float32(0.04), np.float32(1.72)
    level = np.clip((blurred - low) / (high - low), 0, 1) ** 1.15
    pixels: np.ndarray = (level * (2**BITS - 1)).astype(np.uint16)
    return pixels


def _column(values: list[float]) -> _Column:
    return np.array(values, np.float32)[:, None, None]


def _soft(distance: np.ndarray, width_mm: float | int) -> np.ndarray:
    """Go from 0 outside (negative) to 1 inside over about `width_mm`."""
    return _single(0.5 * (1 + np.tanh(distance / np.float32(width_mm))))


def _view(chests: list[Chest]) -> _View:
    at = ((np.arange(SIZE, dtype=np.float32) - (SIZE - 1) / 2) * SPACING_MM).astype(np.float32)
    turn = _column([one.body.turn for one in chests])
    x = at[None, None, :] - 4 * turn
    y = np.broadcast_to(at[None, :, None], (len(chests), SIZE, SIZE))
    half = _column([one.body.thorax_mm / 2 for one in chests])
    breath = _column([8 * (one.body.stout - 1) + 22 * one.congestion * 0.5 for one in chests])
    x = np.broadcast_to(x, y.shape)
    side = np.sign(x)
    inner = np.abs(x) / half
    dome = (
        92 - breath + np.where(side > 0, 9, 0) - 34 * np.sqrt(np.clip(1 - ((inner - 0.5) / 0.56) ** 2, 0, 1))
    )
    dome = (dome + 12).astype(np.float32)
    wide = 2 * half * _column([one.ratio for one in chests])
    cx, cy = 0.17 * wide, _column([44 - 6 * (one.body.stout - 1) for one in chests])
    slope = np.float32(0.42)
    u = (x - cx) * np.cos(slope) + (y - cy) * np.sin(slope)
    v = -(x - cx) * np.sin(slope) + (y - cy) * np.cos(slope)
    a = wide / 2 * 1.03
    b = np.minimum(a * 0.82, 60)
    a = np.sqrt(np.maximum((wide / 2) ** 2 - (b * np.sin(slope)) ** 2, 100)) / np.cos(slope)
    heart = (1 - np.sqrt((u / a) ** 2 + (v / b) ** 2)) * np.minimum(a, b)
    top = np.full_like(half, -128)
    return _View(x, y, half, top, _wall(half, top, y), dome, _single(heart), len(chests))


def _wall(half: _Column, top: _Column, y: _Map) -> _Map:
    """Give the half-width of the rib cage at each height: narrow at the apex, widest low down."""
    t = np.clip((y[:, :, :1] - top) / 215, 0, 1)
    wall = half * np.sqrt(np.clip(1 - (1 - t) ** 2.3, 0, 1))
    return _single(np.broadcast_to(wall, y.shape))


def _fourth(of: np.ndarray) -> np.ndarray:
    """Give the fourth power, which is faster than a power."""
    square = of * of
    fourth: np.ndarray = square * square
    return fourth


def _lungs(view: _View) -> _Map:
    """Give how much of the beam's way is lung, 0 to 1."""
    x, y = view.x, view.y
    wall = view.wall
    middle = 23 + 9 * np.exp(-(((y + 62) / 26) ** 2)) * (x > 0) + 10 * np.exp(-(((y - 5) / 26) ** 2))
    outside = wall - np.abs(x)
    inside = np.abs(x) - middle
    edge = np.minimum(np.minimum(outside, inside), view.dome - y)
    depth = np.sqrt(np.clip(1 - (np.abs(x) / (wall + 6)) ** 2, 0.0, 1))
    shape = _soft(np.minimum(edge, y - view.top), 2.2) * (0.55 + 0.45 * depth)
    return _single(shape)


def _body(view: _View, chests: list[Chest]) -> _Map:
    """Give the soft tissue: chest wall, shoulders, belly below the diaphragm, breasts, windpipe."""
    x, y = view.x, view.y
    stout = _column([one.body.stout for one in chests])
    outer = view.half + 27 * stout + 26 * _soft(-(y + 96), 22) * 1.6
    neck = 48 + 70 * _soft(y + 128, 14)
    outline = np.minimum(outer, neck + 40 * _soft(y + 118, 10) * 3)
    thick = np.sqrt(np.clip(1 - (x / outline) ** 2, 0, 1))
    belly = _soft(y - view.dome, 2.5) * 0.62
    middle = 0.22 * np.exp(-_fourth(x / 27))
    breast = 0.16 * _column([0.2 if one.male else 1.0 for one in chests]) * stout
    round_ = 1 - ((np.abs(x) - 0.52 * view.half) / (0.42 * view.half)) ** 2 - ((y - 52) / 52) ** 2
    bubble = 0.4 * _soft(1 - ((x - 62) / 26) ** 2 - ((y - view.dome - 20) / 13) ** 2, 0.4)
    trachea = 0.22 * np.exp(-_fourth(x / 8.5)) * _soft(-(y + 38), 8)
    total = (0.95 * thick * stout**0.4 + belly + middle - trachea - bubble * (y > view.dome)) * (thick > 0)
    return _single(total + breast * np.sqrt(np.clip(round_, 0, 1)))


def _heart(view: _View, chests: list[Chest]) -> _Map:
    """Give the heart's shadow, with the aortic knob and the great vessels above it."""
    x, y = view.x, view.y
    heart = _soft(view.heart, 1.8) * (0.75 + 0.25 * np.clip(view.heart / 40, 0, 1))
    knob = 0.55 * _soft((1 - np.sqrt(((x - 21) / 17) ** 2 + ((y + 58) / 16) ** 2)) * 16, 2.5)
    vessel = 0.5 * _soft((1 - np.sqrt(((x - 8) / 27) ** 2 + ((y + 20) / 46) ** 2)) * 27, 3)
    shadow = np.maximum(np.maximum(heart, knob), vessel)
    return (shadow * (0.25 + 0.75 * _soft(view.dome + 6 - y, 4))).astype(
        np.float32
    )  # the belly hides its foot


def _bones(view: _View, lung: _Map, chests: list[Chest]) -> _Map:
    """Give ribs, collar bones and spine."""
    x, y = view.x, view.y
    wall = view.wall
    r = np.clip(np.abs(x) / np.maximum(wall, 1), 0, 1.2)
    inside = _soft(wall + 5 - np.abs(x), 3) * _soft(np.abs(x) - 14, 5) * _soft(y + 132, 4)
    pitch = np.float32(21.5)
    back = y - 30 * r * r + 20 * (1 - r)
    front = y + 46 * r * np.sqrt(r) - 38
    rib = np.exp(-_fourth((np.mod(back, pitch) - pitch / 2) / 3.4)) * 0.15
    rib = rib + np.exp(-_fourth((np.mod(front, pitch) - pitch / 2) / 4.4)) * 0.075 * (y > -70) * (r > 0.45)
    rim = 0.1 * np.exp(-(((np.abs(x) - wall - 1.5) / 3.0) ** 2)) * _soft(y + 118, 6)
    above = _soft(view.dome + 40 - y, 10)
    collar = np.exp(-_fourth((y + 100 - 0.24 * (np.abs(x) - 20) * -1) / 5.0))
    collar = collar * _soft(np.abs(x) - 14, 3) * _soft(150 - np.abs(x), 8) * 0.16
    bodies = 0.75 + 0.25 * np.cos(2 * np.pi * y / 24.0)
    spine = 0.13 * np.exp(-_fourth(x / 14)) * bodies
    blade = 0.07 * _soft(1 - ((np.abs(x) - view.half * 0.93) / 26) ** 2 - ((y + 62) / 46) ** 2, 0.5)
    return _single(rib * inside * above + rim * above + collar + spine + blade)


def _vessels(view: _View, chests: list[Chest], noise: _Map) -> _Map:
    """Give the markings of the lung: thick at the hilum, thin outside; congestion thickens and blurs them."""
    wet = _column([one.congestion for one in chests])
    away = np.sqrt((np.abs(view.x) - 32) ** 2 + (view.y + 8) ** 2)
    hilum = np.exp(-((away / 20) ** 2)) * (0.42 + 0.2 * wet)
    streaks = _blur(noise, 1) - _blur(noise, 4)
    near = np.exp(-away / (52 + 40 * wet))
    haze = wet * (0.07 + 0.16 * np.clip((view.y + 20) / 110, 0, 1)) * np.exp(-((away / 95) ** 2))
    upper = 0.05 * wet * np.exp(-(((view.y + 62) / 34) ** 2))
    return _single(hilum + streaks * near * (0.5 + 0.25 * wet) + haze + upper)


def _fluid(view: _View, chests: list[Chest], lung: _Map) -> _Map:
    """Give pleural fluid: it fills the angles, and climbs at the wall; more on the right."""
    much = _column([one.effusion for one in chests])
    much = much * np.where(view.x < 0, 1.0, 0.7)
    r = np.clip(np.abs(view.x) / np.maximum(view.wall, 1), 0, 1)
    level = view.dome + 14 - 85 * much * (0.45 + 0.55 * r**3)
    return _single(0.5 * lung * _soft(view.y - level, 4) * (much > 0.03))


def _nodules(view: _View, chests: list[Chest]) -> _Map:
    """Give round shadows of nodules and tumours, as thick as they are wide."""
    total = np.zeros((view.n, SIZE, SIZE), np.float32)
    for i, one in enumerate(chests):
        for mm, place in ((one.benign_mm, one.body.place), (one.tumour_mm, one.body.tumour)):
            if mm > 0:
                x, y = spot(one, place)
                r2 = ((view.x[i] - x) ** 2 + (view.y[i] - y) ** 2) / (mm / 2 + 1.0) ** 2
                total[i] += np.float32(min(0.011 * mm + 0.05, 0.42)) * np.sqrt(np.clip(1 - r2, 0, 1))
    return total


def spot(chest: Chest, place: tuple[float, float, float]) -> tuple[float, float]:
    """Give where a nodule is seen, in mm from the middle of the image (x to the patient's left, y down)."""
    side, height, depth = place
    y = -92 + 135 * height
    half = chest.body.thorax_mm / 2
    return float(side * half * (0.42 + 0.34 * depth) * (0.72 + 0.28 * height)), float(y)


def _blur(image: np.ndarray, times: int) -> np.ndarray:
    """Blur by the binomial 1, 2, 1 along both axes, some times."""
    for _ in range(times):
        for axis in (1, 2):
            image = (2 * image + np.roll(image, 1, axis) + np.roll(image, -1, axis)) / np.float32(4)
    return image
