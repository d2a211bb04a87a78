"""In: what a training used. Out: `model.json`, and the names of the files beside it."""

import dataclasses
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from residency.contract.errors import LineageError
from residency.model.attachments import Named
from residency.model.own import Taught
from residency.model.spec import ModelSpec

WEIGHTS_FILE: Final = "model.safetensors"
SETTINGS_FILE: Final = "model.json"
TARGETS_FILE: Final = "targets.parquet"
CALIBRATION_FILE: Final = "calibration.json"
CURVE_FILE: Final = "training.parquet"
MODEL_FORMAT: Final = 11


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What `model.json` holds beside the weights.

    Attributes:
        format: of the model's folder.
        spec: settings, with the size that was used.
        labels: names of the tasks with heads of their own.
        panel: codes (by index) whose standing state the network reads.
        edges_days: of the hazards' intervals.
        encoders: of each kind of attachment that is read.
        routine: codes (by index) that simulated futures take moment by moment, most frequent first.
        taught: targets (by index) that a teacher taught, and places in `panel` of the codes each reads.
    """

    format: int
    spec: dict[str, Any]
    labels: tuple[str, ...]
    panel: tuple[int, ...]
    edges_days: tuple[float, ...]
    encoders: dict[str, Named] = {}
    routine: tuple[int, ...]
    taught: Taught = ()

    @property
    def modalities(self) -> dict[str, int]:
        """Width of each kind of attachment's vectors."""
        return {kind: one.width for kind, one in self.encoders.items()}


class _Format(msgspec.Struct, frozen=True):
    format: int


def read_settings(folder: Path) -> Settings:
    """Read `model.json`; its format is looked at before anything else."""
    try:
        body = (folder / SETTINGS_FILE).read_bytes()
        found = msgspec.json.decode(body, type=_Format).format
        if found != MODEL_FORMAT:
            raise LineageError(
                f"the model is of format {found}; this code opens format {MODEL_FORMAT}",
                where=SETTINGS_FILE,
                mend="train it again, or ask with the code that trained it",
            )
        return msgspec.json.decode(body, type=Settings)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError):
        raise LineageError("the model's settings cannot be read", where=SETTINGS_FILE) from None


def settings_of(
    spec: ModelSpec,
    labels: tuple[str, ...],
    panel: np.ndarray,
    edges_days: np.ndarray,
    encoders: dict[str, Named],
    routine: np.ndarray,
) -> Settings:
    """Give what `model.json` holds."""
    return Settings(
        format=MODEL_FORMAT,
        spec=dataclasses.asdict(spec),
        labels=labels,
        panel=tuple(int(code) for code in panel),
        edges_days=tuple(float(edge) for edge in edges_days),
        encoders=encoders,
        routine=tuple(int(code) for code in routine),
    )
