"""In: a training that several processes hold. Out: a checkpoint in parts, which any number takes up again.

A checkpoint is a folder of torch.distributed.checkpoint and `point.json`; it is renamed when it is whole.
"""

import shutil
from pathlib import Path
from typing import Any, Final

import msgspec
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict_loader import load as load_parts
from torch.distributed.checkpoint.state_dict_saver import save as save_parts

from residency.contract.errors import LineageError
from residency.model.checkpoint import Point
from residency.model.together.crew import Crew

PREFIX: Final = "checkpoint-"
POINT_FILE: Final = "point.json"


def latest(work: Path) -> Path | None:
    """Give the newest whole checkpoint; None where there is none."""
    found = [path for path in work.glob(f"{PREFIX}*") if (path / POINT_FILE).is_file()]
    return max(found, key=lambda path: int(path.name.removeprefix(PREFIX)), default=None)


def save(work: Path, state: dict[str, Any], point: Point, crew: Crew) -> None:
    """Write beside, rename, and then clear what is older."""
    beside, final = work / "checkpoint.tmp", work / f"{PREFIX}{point.n_steps}"
    if crew.leads:
        shutil.rmtree(beside, ignore_errors=True)
    crew.wait()
    save_parts(state, checkpoint_id=beside)
    if crew.leads:
        (beside / POINT_FILE).write_bytes(msgspec.json.encode(point))
        shutil.rmtree(final, ignore_errors=True)
        beside.rename(final)
        for path in work.glob(f"{PREFIX}*"):
            if path != final:
                shutil.rmtree(path, ignore_errors=True)
    crew.wait()


def load(path: Path, state: dict[str, Any]) -> Point:
    """Fill the tensors of `state`, however many processes wrote the checkpoint.

    Raises:
        LineageError: the checkpoint cannot be read.
    """
    try:
        load_parts(state, checkpoint_id=path)
        return msgspec.json.decode((path / POINT_FILE).read_bytes(), type=Point)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError, CheckpointException):
        raise LineageError("a checkpoint cannot be read", where=path.name, mend="delete it") from None
