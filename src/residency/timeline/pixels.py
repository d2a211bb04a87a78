"""In: the files of a pixel store. Out: arrays by their digest, read one row group at a time."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from residency.contract.errors import InputError

Pixels: TypeAlias = Mapping[str, np.ndarray]

NO_PIXELS: Final[Pixels] = {}


class Place(NamedTuple):
    """Where an array lies: number of the file, row group in it, row in the group."""

    file: int
    group: int
    row: int


class PixelStore(Mapping[str, np.ndarray]):
    """The arrays of a folder's pixel store, [slice, row, column], by digest; in the order of the files.

    Args:
        files: as `contract.schema.PIXELS`.

    Raises:
        InputError: a file cannot be read.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = sorted(files)
        self._places = dict(self._listed())
        self._group = lru_cache(maxsize=2)(self._read)

    def __getitem__(self, digest: str) -> np.ndarray:
        place = self._places[digest]
        table = self._group(place.file, place.group).slice(place.row, 1)
        shape, dtype, data = (table.column(name)[0] for name in ("shape", "dtype", "data"))
        array = np.frombuffer(data.as_buffer(), np.dtype(dtype.as_py()).newbyteorder("<"))
        return array.reshape(shape.as_py())

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def place(self, digest: str) -> Place:
        """Say where an array lies, so that many can be read in the order of the files."""
        return self._places[digest]

    def _listed(self) -> Iterator[tuple[str, Place]]:
        for number, path in enumerate(self._files):
            with _opened(path) as file:
                for group in range(file.num_row_groups):
                    digests = file.read_row_group(group, columns=["pixels"]).column("pixels").to_pylist()
                    yield from ((digest, Place(number, group, row)) for row, digest in enumerate(digests))

    def _read(self, number: int, group: int) -> pa.Table:
        with _opened(self._files[number]) as file:
            return file.read_row_group(group)


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException):
        raise InputError("a file cannot be read: absent, cut short or altered", where=str(path)) from None
