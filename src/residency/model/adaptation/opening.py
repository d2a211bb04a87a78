"""In: an adapter's folder, and where its base lies. Out: the model with the adapter, frozen and verified."""

import dataclasses
from pathlib import Path

from residency.contract.digests import digest_of
from residency.contract.errors import LineageError
from residency.contract.lineage import open_made
from residency.model.adaptation.adapting import ADAPTER_FILE, START_FILE, STEP
from residency.model.adaptation.lowrank import baked, merged
from residency.model.calibration import Calibration
from residency.model.checkpoint import read_tensors
from residency.model.opened import Model
from residency.model.settings import CALIBRATION_FILE


def open_adapted(folder: Path, base: Path | None = None) -> Model:
    """Open an adapter upon its base, every file of both verified.

    Args:
        folder: what `adapt` made.
        base: the model that it was made for; without, where it lay when the adapter was made.

    Raises:
        LineageError: either was altered, the base is not there, or the adapter was made for another.
    """
    manifest = open_made(folder, STEP, verify=True)
    model = Model.open(base or base_of(folder))
    tensors, metadata = read_tensors(folder / ADAPTER_FILE)
    if model.digest != manifest.made_from[0] or metadata.get("base") != model.digest:
        raise LineageError(
            "the adapter was made for another base", where=str(folder), mend="give its own with base"
        )
    start = Calibration.read(folder / START_FILE)
    network = merged(baked(baked(model.network, model.calibration), start), tensors)
    return dataclasses.replace(
        model,
        network=network,
        calibration=dataclasses.replace(
            Calibration.read(folder / CALIBRATION_FILE),
            values=model.calibration.values,
            later=model.calibration.later,
        ),
        digest=digest_of({"base": model.digest, "adapter": manifest.digest}),
    )


def base_of(folder: Path) -> Path:
    """Give where an adapter's base lay when the adapter was made.

    Raises:
        LineageError: it is not there.
    """
    run = open_made(folder, STEP).run
    found = folder / str(run.get("base", ""))
    if "base" not in run or not found.is_dir():
        raise LineageError(
            "the adapter's base is not where it lay", where=str(folder), mend="give the base's folder"
        )
    return found
