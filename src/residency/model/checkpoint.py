"""In: tensors of a training under way. Out: one safetensors file, whole or not at all, and back."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from residency.contract.durable import flush, flush_folder
from residency.contract.errors import LineageError

_POINT = "point"


class Curve(msgspec.Struct, frozen=True):
    """One row of the loss curve."""

    pass_number: int
    train: float
    tuning: float | None


class Point(msgspec.Struct, frozen=True):
    """How far a training is: the next batch, steps taken, the loss of the pass so far, the curve."""

    pass_number: int = 0
    batch: int = 0
    n_steps: int = 0
    loss_sum: float = 0.0
    curve: tuple[Curve, ...] = ()


@dataclass(frozen=True)
class Checkpoint:
    """A training's tensors and how far it is."""

    tensors: dict[str, Tensor]
    point: Point


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all."""
    _put(path, checkpoint.tensors, {_POINT: msgspec.json.encode(checkpoint.point).decode()})


def kept(path: Path, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Give the tensors that a file keeps; where it is not there yet, make and write them first."""
    if not path.exists():
        _put(path, make(), {})
    return read_tensors(path)[0]


def _put(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write beside, flush, rename."""
    beside = path.with_suffix(".tmp")
    write_tensors(beside, tensors, metadata)
    beside.replace(path)
    flush_folder(path.parent)


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors by name and flush them to disk."""
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path, metadata)
    flush(path)


def load(path: Path) -> Checkpoint | None:
    """Read a checkpoint; None where there is none.

    Raises:
        LineageError: the file is no checkpoint.
    """
    if not path.exists():
        return None
    tensors, metadata = read_tensors(path)
    try:
        return Checkpoint(tensors, msgspec.json.decode(metadata[_POINT], type=Point))
    except (KeyError, UnicodeDecodeError, msgspec.DecodeError):
        raise LineageError("not a checkpoint", where=path.name) from None


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors by name, and the file's metadata.

    Raises:
        LineageError: the file is no safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            return tensors, dict(file.metadata() or {})
    except (SafetensorError, OSError):
        raise LineageError("weights cannot be read", where=path.name, mend="train again") from None


def named(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give tensors under a prefix."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give the tensors of a prefix without it."""
    return {
        name.removeprefix(f"{prefix}/"): tensor
        for name, tensor in tensors.items()
        if name.startswith(f"{prefix}/")
    }


def same(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give detached copies."""
    return {name: torch.clone(tensor.detach()) for name, tensor in tensors.items()}
