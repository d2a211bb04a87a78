"""In: the bytes of a PNG or JPEG. Out: its brightness as one frame; or the reason why there is none."""

import warnings
from io import BytesIO
from typing import Final

import numpy as np
from jaxtyping import Num
from PIL import Image

from residency.records.documents import LARGEST
from residency.records.pixels import luminance

FORMATS: Final = ("PNG", "JPEG")
UNREADABLE: Final = "image: cannot be read"
TOO_LARGE: Final = "image: larger than 256 MiB"
_DEEP: Final = ("I;16", "I;16L", "I;16B", "I")


def picture(body: bytes) -> Num[np.ndarray, "1 row column"] | str:
    """Read a picture: 8 or 16 bits of grey as they are, colour as its brightness, without transparency."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            opened = Image.open(BytesIO(body), formats=FORMATS)
            if opened.width * opened.height * 4 > LARGEST:
                return TOO_LARGE
            grey = _grey(opened)
    except Exception:  # noqa: BLE001 - Pillow raises what the damage happens to lead to
        return UNREADABLE
    return UNREADABLE if grey is None else grey[None]


def _grey(opened: Image.Image) -> np.ndarray | None:
    if opened.mode in _DEEP:
        values = np.asarray(opened).astype(np.int64)
        return values.astype(np.uint16) if values.min() >= 0 and values.max() <= 65535 else None
    if opened.mode in ("L", "LA", "1"):
        return np.asarray(opened.convert("L"))
    return luminance(np.asarray(opened.convert("RGB")))
