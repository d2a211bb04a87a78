"""In: a function and parts of a work. Out: what it makes of each, in order, by several processes.

For Python that holds the interpreter's lock. Processes are started afresh, never forked: libraries have
threads by then. A worker whose parent is gone, killed or not, ends at once.
"""

import gc
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import Any, Final, TypeVar

from residency.contract.errors import ResidencyError

Part = TypeVar("Part")
Result = TypeVar("Result")

# Whatever applies a function to each part and gives the results in order, as `map` does.
Mapping = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]

_work: dict[str, Callable[[Any], Any]] = {}  # of a worker: the one function that it was started for
_WORK: Final = "work"
_THREADS: Final = ("OMP_NUM_THREADS", "POLARS_MAX_THREADS")


def spread(
    work: Callable[[Part], Result], parts: Iterable[Part], /, *, n_processes: int | None = None
) -> Iterator[Result]:
    """Give what a function makes of each part, in order.

    Args:
        work: it, the parts and the results can be pickled; it is sent to each process once.
        parts: what is to be done.
        n_processes: the machine's cores by default.

    Raises:
        ResidencyError: a process died.
        Exception: whatever `work` raises.
    """
    n = n_processes or os.cpu_count()
    try:
        with (
            _one_thread_each(),
            ProcessPoolExecutor(n, get_context("spawn"), initializer=_begin, initargs=(work,)) as pool,
        ):
            yield from pool.map(_do, parts)
    except BrokenProcessPool:
        raise ResidencyError(
            "a worker process died", mend="had it memory enough? run the step again"
        ) from None


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let libraries of processes that begin now keep to one thread: the processes have all cores."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _begin(work: Callable[[Any], Any]) -> None:
    _work[_WORK] = work
    gc.freeze()  # what is there by now stays
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if (parent := parent_process()) is not None:
        parent.join()
    os._exit(1)


def _do(part: Any) -> Any:
    return _work[_WORK](part)
