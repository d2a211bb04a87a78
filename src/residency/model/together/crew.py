"""In: what torchrun or Ray says of this process. Out: the group of all of them, and what they agree on."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from residency.contract.errors import ResidencyError, TrainingError

T = TypeVar("T")


@dataclass(frozen=True)
class Crew:
    """The processes that train together.

    Attributes:
        rank: of this one; 0 writes.
        size: how many.
        mesh: over which weights are cut.
    """

    rank: int
    size: int
    mesh: DeviceMesh

    @property
    def leads(self) -> bool:
        """Whether this process writes the folder."""
        return self.rank == 0

    def all_or_none(self, work: Callable[[], T]) -> T:
        """Do something that may fail here; where it failed anywhere, every process raises the same error.

        Raises:
            TrainingError: what the first process that failed says, with the place and the mend.
        """
        failed: tuple[str, str, str] | None = None
        result: T | None = None
        try:
            result = work()
        except ResidencyError as error:
            failed = error.what, error.where, error.mend
        for one in self.told(failed):
            if one is not None:
                raise TrainingError(one[0], where=one[1], mend=one[2])
        return result  # type: ignore[return-value]  # it is what `work` gave

    def sums(self, *numbers: float) -> tuple[float, ...]:
        """Add each number over all processes, in the order of their ranks."""
        return tuple(sum(column) for column in zip(*self.told(numbers), strict=True))

    def told(self, value: T) -> list[T]:
        """Give what each process said, in the order of their ranks."""
        every: list[T] = [value] * self.size
        dist.all_gather_object(every, value)
        return every

    def wait(self) -> None:
        """Wait for the others."""
        dist.barrier()


def backend_of(device: str) -> str:
    """Give what processes talk through: of tensors on GPUs NCCL, of all else gloo."""
    return "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"


@contextmanager
def crew(device: str = "cpu") -> Iterator[Crew]:
    """Join the processes that torchrun or Ray started; alone where neither did."""
    joined = dist.is_initialized()  # by Ray, which also takes the group apart
    if not joined:
        _join(device)
    if device == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    try:
        size = dist.get_world_size()
        yield Crew(dist.get_rank(), size, init_device_mesh(device, (size,)))
    finally:
        if not joined:
            dist.destroy_process_group()


def _join(device: str) -> None:
    backend = backend_of(device)
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        dist.init_process_group(backend)
    else:
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)  # type: ignore[attr-defined]
