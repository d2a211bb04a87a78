import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from residency.deid.burned_in import cover, find
from residency.deid.glyphs import pieces

DATA = Path(__file__).parents[3] / "shared" / "data" / "burned_in_dicom.tar.xz"
GLYPHS = {  # five by seven, as a machine draws them
    "N": ("#...#", "##..#", "#.#.#", "#..##", "#...#", "#...#", "#...#"),
    "A": (".###.", "#...#", "#...#", "#####", "#...#", "#...#", "#...#"),
    "M": ("#...#", "##.##", "#.#.#", "#...#", "#...#", "#...#", "#...#"),
    "E": ("#####", "#....", "#....", "####.", "#....", "#....", "#####"),
}


def scene(rng: np.random.Generator, size: int = 160) -> np.ndarray:
    """Something smooth, with noise: no writing."""
    axis = np.linspace(0, 6, size)
    smooth = 90 + 60 * np.sin(axis)[:, None] * np.cos(0.7 * axis)[None]
    return np.clip(smooth + rng.normal(0, 3, (size, size)), 0, 240).round().astype(np.uint8)


def write(image: np.ndarray, word: str, *, top: int, left: int, grey: int, scale: int = 2) -> np.ndarray:
    """Draw a word; give where the ink is."""
    ink = np.zeros(image.shape, bool)
    for place, letter in enumerate(word):
        mask = (
            np.array([[one == "#" for one in row] for row in GLYPHS[letter]])
            .repeat(scale, 0)
            .repeat(scale, 1)
        )
        start = left + place * 6 * scale
        ink[top : top + mask.shape[0], start : start + mask.shape[1]] = mask
    image[ink] = grey
    return ink


@pytest.mark.parametrize("grey", [255, 0, 246])
@pytest.mark.parametrize("place", [(2, 3), (140, 60)])
def test_writing_is_covered_wherever_it_stands(grey: int, place: tuple[int, int]) -> None:
    image = scene(np.random.default_rng(1))
    ink = write(image, "NAMENAME", top=place[0], left=place[1], grey=grey)
    covered, n = cover(image[None])
    assert n >= 1
    assert not (covered[0][ink] == grey).any() or len(np.unique(covered[0][ink])) == 1
    kept = (covered[0] == image).mean()
    assert kept > 0.85
    assert cover(covered)[1] == 0


@pytest.mark.parametrize("seed", range(6))
def test_an_image_without_writing_is_the_very_same(seed: int) -> None:
    image = scene(np.random.default_rng(seed))[None]
    assert cover(image)[0] is image


def test_writing_in_most_slices_is_covered_in_all() -> None:
    volume = np.stack([scene(np.random.default_rng(seed)) for seed in range(4)])
    for one in volume[:3]:
        write(one, "NAME", top=2, left=3, grey=255)
    covered, _ = cover(volume)
    assert all((one[4:14, 5:40] == one[4, 5]).all() for one in covered)


def test_pieces_are_what_scipy_finds() -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    mask = np.random.default_rng(3).random((60, 70)) < 0.3
    labels, n = ndimage.label(mask, np.ones((3, 3)))
    boxes, size, _ = pieces(mask)
    theirs = {(s[0].start, s[0].stop, s[1].start, s[1].stop) for s in ndimage.find_objects(labels)}
    assert len(boxes) == n
    assert {(box.top, box.bottom, box.left, box.right) for box in boxes} == theirs
    assert sorted(size) == sorted(np.bincount(labels.ravel())[1:])


def test_names_in_real_files_are_found() -> None:
    pydicom = pytest.importorskip("pydicom")
    if not DATA.exists():
        pytest.skip("the files with names in their pixels are absent")
    with tarfile.open(DATA) as archive:
        (member,) = (one for one in archive.getmembers() if one.name.endswith("/2_ORIGINAL.dicom"))
        body = archive.extractfile(member)
        assert body is not None
        image = pydicom.dcmread(io.BytesIO(body.read())).pixel_array
    boxes = find(image)
    ink = image == image.max()
    outside = ink.copy()
    for box in boxes:
        outside[box.top : box.bottom, box.left : box.right] = False
    assert ink.sum() > 500
    assert not outside.any()
