"""How much writing in pixels is found: drawn text on real chest X-rays and on noise.

    python bench/burned_in.py [N_IMAGES] [--ocr]

Draws a name, a birth date and a number into each image, in several fonts, sizes, greys and places, and counts
the strings of which 98% of the ink is covered; then what is flagged in the same images as they came (an X-ray
may bear its own markers, so that is a bound, not an error rate). Reads ../shared/data; `--ocr` adds a
text recogniser.
"""

import io
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from residency.deid.burned_in import cover

ARCHIVE = Path(__file__).parents[2] / "shared" / "data" / "hannover_covid19_cxr.tar"
FONTS = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSansMono.ttf", "DejaVuSerif.ttf", "STIXGeneral.ttf")
LEAST = 0.98


def images(most: int) -> Iterator[np.ndarray]:
    """Read chest X-rays, and noise where there are none."""
    with tarfile.open(ARCHIVE) as archive:
        members = [one for one in archive.getmembers() if one.name.lower().endswith(".png")]
        for member in members[:: max(1, len(members) // most)][:most]:
            with Image.open(io.BytesIO(archive.extractfile(member).read())) as found:
                yield np.asarray(found.convert("L"))


def written(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, list[np.ndarray], list[str]]:
    """Draw three strings; give the image, the ink of each, and how each was drawn."""
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    out, inks, kinds = image.copy(), [], []
    height, width = image.shape
    texts = ("RAVENSCROFT^PHILIPPA", "DOB: 03/04/1951", f"MRN {rng.integers(10**7, 10**8)}")
    for at, text in enumerate(texts):
        size = int(rng.integers(max(12, height // 70), max(16, height // 22)))
        name = FONTS[rng.integers(len(FONTS))]
        font = ImageFont.truetype(str(fonts / name), size)
        grey = int(rng.choice([255, 255, 230, 0, 0]))
        place = (int(rng.integers(4, max(5, width - size * 12))), int((0.04, 0.45, 0.9)[at] * height))
        ink = Image.new("L", (width, height), 0)
        ImageDraw.Draw(ink).text(place, text, fill=255, font=font)
        weight = np.asarray(ink).astype(np.float32) / 255
        out = (out * (1 - weight) + grey * weight).round().astype(np.uint8)
        inks.append(weight > 0.4)
        kinds.append(f"{'light' if grey > 128 else 'dark'}")
    return out, inks, kinds


def main() -> None:
    """Print recall, and what is flagged in untouched images."""
    n = int(next((one for one in sys.argv[1:] if one.isdigit()), "40"))
    rng = np.random.default_rng(1)
    for use_ocr in (False, True) if "--ocr" in sys.argv else (False,):
        found = drawn = visible = seen = flagged = 0
        seconds = lost = 0.0
        for image in images(n):
            clean, places = cover(image[None], use_ocr=use_ocr)
            flagged += places > 0
            lost += float((clean[0] != image).mean())
            marked, inks, _ = written(image, rng)
            began = time.perf_counter()
            covered, _ = cover(marked[None], use_ocr=use_ocr)
            seconds += time.perf_counter() - began
            for ink in inks:
                apart = np.abs(marked[ink].astype(float).mean() - image[ink].astype(float).mean()) > 60
                done = (covered[0][ink] != marked[ink]).mean() >= LEAST or _hidden(covered[0], marked, ink)
                drawn, found = drawn + 1, found + done
                visible, seen = visible + apart, seen + (done and apart)
        name = "detector and recogniser" if use_ocr else "detector"
        print(f"{name}: {found} of {drawn} strings covered; {seen} of {visible} that stand out")
        print(
            f"  {flagged} of {n} untouched images flagged, {lost / n:.2%} of their pixels;"
            f" {seconds / n:.2f} s an image"
        )


def _hidden(covered: np.ndarray, marked: np.ndarray, ink: np.ndarray) -> bool:
    """Tell whether the ink is gone, though some of its pixels have the value that covers them."""
    changed = covered != marked
    rows, columns = np.nonzero(ink)
    box = changed[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    values = covered[ink]
    return bool(box.mean() > 0.5 and len(np.unique(values)) <= 3)


if __name__ == "__main__":
    main()
