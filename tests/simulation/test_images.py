"""In: chests of known anatomy. Out: it can be measured from the pixels, by other means than drew it."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import label, uniform_filter
from scipy.stats import spearmanr

from residency.simulation.anatomy import Body, Chest, body, chest
from residency.simulation.chances import BODY, IMAGES, stream
from residency.simulation.contacts import person
from residency.simulation.course import course
from residency.simulation.medicine import hospital
from residency.simulation.people import people
from residency.simulation.radiographs import SPACING_MM, radiographs, spot
from residency.simulation.spec import HospitalSpec
from residency.simulation.tomograms import LENGTH_MM, tomogram
from residency.simulation.tomograms import SPACING_MM as CT_SPACING_MM

BODY_OF = Body(
    thorax_mm=280.0, ratio=0.45, turn=0.0, stout=1.0, benign_mm=0.0, place=(-1.0, 0.5, 0.5),
    tumour=(1.0, 0.35, 0.6), tumour_hu=40.0, seed=5,
)  # fmt: skip
HEALTHY = Chest(BODY_OF, male=True, ratio=0.45, congestion=0.0, effusion=0.0, benign_mm=0.0, tumour_mm=0.0)
NAMES = [one.name for one in hospital().disease]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def cardiothoracic_ratio(pixels: np.ndarray) -> float:
    """Measure as on film: widest heart, right and left of the midline, over the widest inner chest."""
    smooth = uniform_filter(pixels.astype(float), 3)
    widest, right, left = 0, 0, 0
    middle = pixels.shape[1] // 2
    for row in smooth[62:88]:
        low, high = np.percentile(row[15:113], [8, 92])
        lung = row < (low + high) / 2
        parts, n = label(~lung)
        if not n or not (~lung)[middle]:
            continue
        heart = np.flatnonzero(parts == parts[middle])
        sides = np.flatnonzero(lung[12:116]) + 12
        widest = max(widest, sides[-1] - sides[0] + 1)
        right, left = max(right, middle - heart[0]), max(left, heart[-1] + 1 - middle)
    return (right + left) / widest


def test_the_heart_can_be_measured_from_the_pixels() -> None:
    ratios = np.linspace(0.40, 0.62, 24)
    images = radiographs([replace(HEALTHY, ratio=float(one)) for one in ratios], [rng(i) for i in range(24)])
    measured = np.array([cardiothoracic_ratio(image) for image in images])
    assert np.corrcoef(measured, ratios)[0, 1] > 0.95
    assert np.abs(measured - ratios).mean() < 0.04


def test_the_measured_heart_widens_before_heart_failure_is_diagnosed() -> None:
    spec = HospitalSpec(n_patients=400, seed=2)
    group = people(spec, 0, spec.n_patients)
    hidden, at = course(group, spec), NAMES.index("heart_failure")
    well, ill = [], []
    onset, found = hidden.onset[:, at], hidden.diagnosis[:, at]
    for row in np.flatnonzero((onset > 30) & np.isfinite(found) & (found > onset + 240)):
        one = person(group, hidden, int(row), spec.variant)
        built, chance = body(one, stream(0, one.number, BODY)), stream(0, one.number, IMAGES)
        well.append(chest(one, built, float(one.onset[at]) - 20, chance))
        ill.append(chest(one, built, float(one.diagnosis[at]) - 1, chance))
        if len(well) == 24:
            break
    assert len(well) == 24
    before, after = (
        np.array([cardiothoracic_ratio(one) for one in radiographs(some, [rng(i) for i in range(24)])])
        for some in (well, ill)
    )
    assert np.mean(after - before) > 0.03
    assert np.mean(after > before) > 0.75


def test_a_tumour_is_a_bright_round_spot_where_it_was_put() -> None:
    bare, with_one = radiographs([HEALTHY, replace(HEALTHY, tumour_mm=28.0)], [rng(1), rng(1)])
    more = with_one.astype(float) - bare
    x, y = spot(HEALTHY, BODY_OF.tumour)
    row, column = (round(v / SPACING_MM + 63.5) for v in (y, x))
    assert more[row, column] > 150
    assert np.abs(more[:, :50]).max() < 40


def test_congestion_and_fluid_whiten_the_bases() -> None:
    dry, wet = radiographs([HEALTHY, replace(HEALTHY, congestion=0.8, effusion=0.7)], [rng(2), rng(2)])
    assert wet[78:90, 20:36].mean() > dry[78:90, 20:36].mean() + 150


@pytest.mark.parametrize("mm", [6.0, 12.0, 20.0, 30.0])
def test_the_units_of_a_nodule_add_up_to_its_volume(mm: float) -> None:
    bare = tomogram(HEALTHY, 14, rng(3)).units.astype(float)
    found = tomogram(replace(HEALTHY, tumour_mm=mm), 14, rng(3)).units - bare
    volume = found.sum() * CT_SPACING_MM**2 * (LENGTH_MM / 14) / (40 + 850)
    assert (6 * volume / np.pi) ** (1 / 3) == pytest.approx(mm, rel=0.12)


def test_a_growing_nodule_grows_in_the_pixels() -> None:
    sizes = [6.0, 9.0, 13.0, 18.0, 25.0]
    bright = [
        (tomogram(replace(HEALTHY, tumour_mm=mm), 12, rng(i)).units > -550)[5:10, 20:40, 44:56].sum()
        for i, mm in enumerate(sizes)
    ]
    assert spearmanr(sizes, bright).statistic > 0.85


def test_a_tomogram_has_the_densities_of_a_body() -> None:
    units = tomogram(HEALTHY, 14, rng(4)).units
    share = {name: ((units >= low) & (units < high)).mean() for name, (low, high) in {
        "air": (-1025, -960), "lung": (-950, -700), "fat": (-160, -60), "soft": (0, 110), "bone": (180, 900),
    }.items()}  # fmt: skip
    assert share["lung"] > 0.06
    assert share["soft"] > 0.12
    assert share["fat"] > 0.01
    assert 0.001 < share["bone"] < 0.06
    assert share["air"] > 0.3


def test_a_chest_does_not_depend_on_the_others_rendered_with_it() -> None:
    alone = radiographs([HEALTHY], [rng(5)])[0]
    among = radiographs(
        [replace(HEALTHY, ratio=0.6), HEALTHY, replace(HEALTHY, male=False)], [rng(6), rng(5), rng(7)]
    )
    assert (among[1] == alone).all()
