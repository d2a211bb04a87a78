"""In: paths. Out: what was written there is on the disk, or gone."""

import os
import shutil
from pathlib import Path


def remove(path: Path) -> None:
    """Take away a file or a folder, where there is one."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Bring a file, or all files of a folder, to the disk."""
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb+") as handle:
                os.fsync(handle.fileno())


def flush_folder(path: Path) -> None:
    """Bring the names of a folder to the disk: what was renamed into it stays after a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
