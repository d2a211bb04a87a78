"""In: a DICOM header, a patient's key and shift. Out: what of it is allowed, under other identifiers.

Nothing is taken away from a header: a new one is made, of listed attributes whose values look like what they
should be. Groups that nobody listed are thus never seen: private ones, overlays, curves.
"""

import hmac
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from residency.contract import specs
from residency.contract.specs import spec
from residency.deid.handling import BODY_PARTS

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_NUMBER: Final = re.compile(r"[+-]?\d{1,12}(?:\.\d{1,12})?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_UID: Final = re.compile(r"[0-9]+(?:\.[0-9]+)*", re.ASCII)
_TIME: Final = re.compile(r"(?:[01]\d|2[0-3])(?:[0-5]\d(?:[0-5]\d(?:\.\d{1,6})?)?)?", re.ASCII)
_AGE: Final = re.compile(r"(\d{3})([DWMY])", re.ASCII)
_LARGEST_PLACE: Final = 99_999
_BINARY: Final = ("US", "SS", "UL", "SL", "FL", "FD")


@spec
class Listed:
    """What stays (`dicom.toml`)."""

    common: tuple[str, ...]
    small: tuple[str, ...]
    dates: tuple[str, ...]
    times: tuple[str, ...]
    uids: tuple[str, ...]
    sequences: tuple[str, ...]
    terms: tuple[str, ...]
    modalities: dict[str, tuple[str, ...]]

    def of(self, modality: str) -> frozenset[str]:
        """Name the attributes that stay of a modality; of one that is not listed none does."""
        if modality not in self.modalities:
            return frozenset()
        named = (self.common, self.small, self.dates, self.times, self.uids, self.sequences)
        return frozenset(name for part in (*named, self.modalities[modality]) for name in part)


@cache
def listed() -> Listed:
    """Read the list."""
    return specs.load(Listed, Path(str(files("residency.deid").joinpath("dicom.toml"))))


@dataclass(frozen=True)
class Hiding:
    """How one patient's headers are changed.

    Attributes:
        key: the secret.
        shift: how far every date moves.
        max_age: the highest age that may show, in years.
    """

    key: bytes
    shift: timedelta
    max_age: int

    def uid(self, uid: str) -> str:
        """Give an identifier's pseudonym: `2.25.…`, a UUID as DICOM writes it."""
        found = hmac.digest(self.key, b"uid" + uid.encode(), "sha256")[:16]
        return f"2.25.{int.from_bytes(found, 'big')}"

    def date(self, text: str) -> str | None:
        """Move a date; None where it is none."""
        try:
            day = datetime.strptime(text.replace(".", ""), "%Y%m%d")  # noqa: DTZ007 - a day has no zone
            return f"{day + self.shift:%Y%m%d}"
        except (ValueError, OverflowError):
            return None

    def age(self, text: str) -> str | None:
        """Cap an age; None where it is none."""
        found = _AGE.fullmatch(text)
        if found is None:
            return None
        years = int(found[1]) / {"D": 365, "W": 52, "M": 12, "Y": 1}[found[2]]
        return f"{self.max_age + 1:03d}Y" if years > self.max_age else text


def hidden(header: "Dataset", modality: str, hiding: Hiding) -> "Dataset":
    """Make a header of what is allowed of another."""
    from pydicom.dataset import Dataset

    names, out = listed().of(modality), Dataset()
    for name in sorted(names):
        element = header.get_item(name) if name in header else None
        if element is None:
            continue
        if name in listed().sequences:
            items = [hidden(item, modality, hiding) for item in header[name].value or ()]
            setattr(out, name, [item for item in items if len(item)])
        elif (value := _value(header[name], name, hiding)) is not None:
            setattr(out, name, value)
    return out


def _value(element: Any, name: str, hiding: Hiding) -> Any:
    """Give an attribute's value as it may stay; None where it may not."""
    parts = list(_parts(element.value))
    if not parts:
        return None
    special = _special(name, hiding)
    made = [special(str(one).strip(" \x00")) if special else _plain(one, str(element.VR)) for one in parts]
    if any(one is None for one in made):
        made = [one for one in made if one is not None] if name == "ImageType" else []
    return (made[0] if len(made) == 1 else made) if made else None


def _parts(value: Any) -> Iterator[Any]:
    if value is None or isinstance(value, bytes):
        return
    if not isinstance(value, str) and hasattr(value, "__iter__"):
        yield from value
    elif value != "":
        yield value


def _special(name: str, hiding: Hiding) -> Callable[[str], Any] | None:
    """Give what is done to the values of some attributes."""
    rules = listed()
    if name in rules.uids:
        return lambda text: hiding.uid(text) if len(text) <= 64 and _UID.fullmatch(text) else None
    if name in rules.dates:
        return hiding.date
    if name in rules.times:
        return lambda text: text if _TIME.fullmatch(text) else None
    if name in rules.small:
        return lambda text: int(text) if text.isdecimal() and int(text) <= _LARGEST_PLACE else None
    return {"PatientAge": hiding.age, "BodyPartExamined": _body_part}.get(name)


def _body_part(text: str) -> str | None:
    site = re.sub("[^A-Z]", "", text.upper())
    return site if site in BODY_PARTS else None


def _plain(value: Any, kind: str) -> Any:
    """Let stand what looks like its kind: a number, or a coded word of the list."""
    if kind == "CS":
        return str(value) if str(value).strip() in listed().terms else None
    if kind in ("DS", "IS"):
        return str(value).strip() if _NUMBER.fullmatch(str(value).strip()) else None
    return value if kind in _BINARY and isinstance(value, int | float) else None
