"""In: examinations and whose they are. Out: DICOM files, as a hospital's archive would hand them over."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Int16, UInt16

from residency.simulation import radiographs, tomograms
from residency.simulation.dicom import Picture, Series, write_series
from residency.simulation.identities import Identity
from residency.simulation.lettering import Box, burn
from residency.simulation.names import house
from residency.simulation.studies import Study

_AT_ONCE: Final = 32
_BRIGHT: Final = 2**radiographs.BITS - 1
_LETTERS_ROW: Final = 2


@dataclass(frozen=True)
class Order:
    """One examination with all that its files tell.

    Attributes:
        study: the examination.
        who: whose it is.
        time: `YYYY-MM-DDTHH:MM:SS`, local.
        asked_by: the doctor.
        other: id of the patient whose number a faulty file bears.
    """

    study: Study
    who: Identity
    time: str
    asked_by: str
    other: str

    @property
    def compact(self) -> str:
        """The time as DICOM writes it."""
        return self.time.replace("-", "").replace(":", "").replace("T", "")

    def file(self, index: int) -> str:
        """Name one of its files: a number that says nothing of its order."""
        return f"{sha256(self.study.image_uids[index].encode()).hexdigest()[:12]}.dcm"

    @property
    def words(self) -> tuple[str, ...]:
        """What an old device burns into the pixels: name, number and day."""
        day = f"{self.time[8:10]}.{self.time[5:7]}.{self.time[:4]}"
        return f"{self.who.family},{self.who.given}".upper(), f"{self.who.number} {day}"


def film(orders: list[Order], folder: Path) -> int:
    """Write the files of some examinations into a folder; give their number."""
    folder.mkdir()
    n = 0
    for order, images in _images(orders):
        for i, content in enumerate(write_series(_series(order), images)):
            cut = order.study.fault == "truncated" and i == 0
            (folder / order.file(i)).write_bytes(content[: len(content) * 3 // 5] if cut else content)
            n += 1
    return n


def _images(orders: list[Order]) -> Iterator[tuple[Order, list[Picture]]]:
    plain = [order for order in orders if order.study.modality != "CT"]
    for first in range(0, len(plain), _AT_ONCE):
        some = plain[first : first + _AT_ONCE]
        rngs = [_chance(order.study.uid) for order in some]
        pixels = radiographs.radiographs([order.study.chest for order in some], rngs)
        yield from ((order, [_radiograph(order, one)]) for order, one in zip(some, pixels, strict=True))
    for order in orders:
        if order.study.modality == "CT":
            yield order, _slices(order)


def _chance(study: str) -> np.random.Generator:
    """Give the chance of a study's noise: by its own number, so that it hangs on nothing else."""
    return np.random.default_rng(int.from_bytes(sha256(study.encode()).digest()[:8], "big"))


def _radiograph(order: Order, pixels: UInt16[np.ndarray, "row column"]) -> Picture:
    study = order.study
    if study.burned:
        pixels, _ = burn(pixels, order.words, row=_LETTERS_ROW, bright=_BRIGHT)
    if study.inverted:
        pixels = np.uint16(_BRIGHT) - pixels
    return Picture(study.image_uids[0], 1, pixels, burned_in="YES" if study.declared else None)


def letters(order: Order) -> Box | None:
    """Say where words stand in the pixels of a radiograph."""
    if not order.study.burned:
        return None
    blank = np.zeros((radiographs.SIZE, radiographs.SIZE), np.uint16)
    return burn(blank, order.words, row=_LETTERS_ROW, bright=1)[1]


def _slices(order: Order) -> list[Picture]:
    study = order.study
    found = tomograms.tomogram(study.chest, study.n_images, _chance(study.uid))
    stored: Int16[np.ndarray, "slice row column"] = found.units - np.int16(_intercept(order.who.site))
    return [
        Picture(uid, i + 1, stored[i], z_mm=found.z_mm[i]) for i, uid in enumerate(study.image_uids)
    ]  # fmt: skip


def _intercept(site: str) -> int:
    return -1024 if site == "north" else -8192


def _series(order: Order) -> Series:
    study, who = order.study, order.who
    home = house(who.site)
    first, _, last = order.asked_by.rpartition(" ")
    tomography = study.modality == "CT"
    series = Series(
        patient_id=who.id, patient_name=f"{who.family}^{who.given}", birth_date=who.born.strftime("%Y%m%d"),
        sex="M" if who.male else "F", study_uid=study.uid, series_uid=study.series_uid,
        accession=accession(study), time=order.compact, modality=study.modality, institution=home.hospital,
        physician=f"{last}^{first}", station=f"{study.modality}{1 + study.index % 2}",
        description="CT CHEST" if tomography else "CHEST PA", inverted=study.inverted,
        spacing_mm=tomograms.SPACING_MM if tomography else radiographs.SPACING_MM,
        intercept=_intercept(who.site), step_mm=tomograms.LENGTH_MM / study.n_images,
        deflated=tomography and who.site == "south",
    )  # fmt: skip
    return replace(series, patient_id=order.other) if study.fault == "other_patient" else series


def accession(study: Study) -> str:
    """Give the number of the order."""
    return f"A{int(sha256(study.uid.encode()).hexdigest()[:10], 16) % 10**9:09d}"
