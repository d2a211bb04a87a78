"""In: this process, this machine. Out: no copy of the memory on the disk, or a word that there could be one.

A request's patient is in memory only. Two things write memory down behind a program's back: a core dump after
a crash, and swap. The first is switched off; the second is the machine's, and is looked at.
"""

import resource
from pathlib import Path
from typing import Final

SWAPS: Final = Path("/proc/swaps")
SWAPPED: Final = "swap is on: what is in memory may reach the disk"
MEND: Final = "encrypt swap, or run with none of it (systemd: MemorySwapMax=0)"


def no_core_dumps() -> None:
    """Let a crash leave no image of the memory behind."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def swap_is_on(table: Path = SWAPS) -> bool:
    """Tell whether the machine swaps; no where it does not say.

    Args:
        table: as Linux shows it: a line of titles, then a line a swap file or partition.
    """
    try:
        lines = table.read_text("utf-8").splitlines()
    except OSError:
        return False
    return any(line.split()[:1] and not line.startswith("/dev/zram") for line in lines[1:])
