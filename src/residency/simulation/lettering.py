"""In: an image and words. Out: the image with the words burned into its pixels, and where they stand."""

from functools import cache

import numpy as np
from jaxtyping import Bool, UInt16

Box = tuple[int, int, int, int]
"""First row, last row, first column, last column; the last ones excluded."""


@cache
def lettered(words: str) -> Bool[np.ndarray, "row column"]:
    """Draw words in a font of fixed width, 11 pixels high; letters that it lacks lose their accents."""
    from PIL import Image, ImageDraw, ImageFont  # late: an extra

    font = ImageFont.load_default_imagefont()
    plain = words.encode("latin-1", "replace").decode("latin-1")
    left, top, right, bottom = font.getbbox(plain)
    image = Image.new("1", (int(right - left), int(bottom - top)))
    ImageDraw.Draw(image).text((-left, -top), plain, fill=1, font=font)
    found: np.ndarray = np.asarray(image, dtype=bool)
    return found


def burn(
    image: UInt16[np.ndarray, "row column"], words: tuple[str, ...], *, row: int, bright: int
) -> tuple[UInt16[np.ndarray, "row column"], Box]:
    """Write lines of words into the upper left of an image, as an old device does.

    Args:
        image: its pixels.
        words: one text a line; what does not fit is cut off.
        row: to begin at.
        bright: the value of the letters.

    Returns:
        A new image, and the box that holds the letters.
    """
    written, first, right = image.copy(), row, 0
    for text in words:
        mask = lettered(text)[:, : image.shape[1] - 2]
        mask = mask[: image.shape[0] - row]
        part = written[row : row + mask.shape[0], 2 : 2 + mask.shape[1]]
        part[mask] = bright
        row, right = row + mask.shape[0] + 1, max(right, 2 + mask.shape[1])
    return written, (first, row - 1, 2, right)
