"""In: a spec. Out: where a step is worked out and in what numbers: processor or GPU, written once."""

import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, TypeVar, cast

import torch
from torch import Tensor, nn

from residency.contract.errors import SpecError
from residency.model.spec import ModelSpec

T = TypeVar("T")
_END: Final = object()


@dataclass(frozen=True)
class Machine:
    """Where steps are worked out.

    Attributes:
        device: of weights and batches.
        dtype: of the matrix products of moment encoder and trunk; weights, heads and losses are float32.
        compiled: whether the trunk is compiled.
    """

    device: torch.device
    dtype: torch.dtype
    compiled: bool

    @classmethod
    def of(cls, spec: ModelSpec) -> "Machine":
        """Give the machine that a spec asks for.

        Raises:
            SpecError: this computer has no such device.
        """
        device = torch.device(spec.device)
        if device.type == "cuda" and not torch.cuda.is_available():
            raise SpecError("this computer has no GPU that PyTorch can use", mend='set device = "cpu"')
        dtype = torch.bfloat16 if spec.in_bfloat16 else torch.float32
        return cls(device, dtype, spec.compiled)

    @property
    def is_gpu(self) -> bool:
        """Whether work is handed over, and so runs beside ours."""
        return self.device.type == "cuda"

    def place(self, network: nn.Module, trunk: nn.Module) -> None:
        """Move a network there; names and values of its weights stay."""
        network.to(self.device)
        if self.compiled:
            trunk.compile(dynamic=True)

    def products(self) -> AbstractContextManager[object]:
        """Work matrix products out in this machine's numbers while the context lasts."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not torch.float32)

    def send(self, batch: T) -> T:
        """Give a batch on the device; a GPU fetches it from pinned memory while other work goes on."""
        if not self.is_gpu:
            return batch
        return moved(batch, lambda tensor: tensor.pin_memory().to(self.device, non_blocking=True))

    def ahead(self, items: Iterator[T]) -> Iterator[T]:
        """Give the same items; beside a GPU the next is made while the last is used."""
        return read_ahead(items) if self.is_gpu else items


def moved(value: T, move: Callable[[Tensor], Tensor]) -> T:
    """Give a batch, or a part of one, with every tensor moved."""
    return cast(T, _moved(value, move))


def _moved(value: object, move: Callable[[Tensor], Tensor]) -> object:
    if isinstance(value, Tensor):
        return move(value)
    if isinstance(value, dict):
        return {name: _moved(part, move) for name, part in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return type(value)(**{field.name: _moved(getattr(value, field.name), move) for field in fields})
    return value


def read_ahead(items: Iterator[T]) -> Iterator[T]:
    """Give the same items in the same order, each made in a thread while the one before it is used."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, _END)
        while (item := coming.result()) is not _END:
            coming = pool.submit(next, items, _END)
            yield item  # type: ignore[misc]
