"""In: vectors by digest of content. Out: the same, for as long as the folder lives.

One folder an encoder, named by its digest; in it files that hold some attachments each, named by the digest
of what is in them; in a folder in it, likewise, pieces that attachments have in common. A file appears whole
or not at all, so processes may share a folder. Nothing here is named by, or tells, whose it is.
"""

import os
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from residency.contract.digests import digest_of

_MOST_IN_MEMORY: Final = 20_000  # attachments that no folder keeps
_PIECES: Final = "pieces"


class Cache:
    """Vectors of attachments, float16 [vector, width], by digest of content.

    Args:
        folder: of one encoder; None to remember in memory alone.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._known: dict[str, np.ndarray] = {}
        self._passing: dict[str, np.ndarray] = {}
        self._read: set[str] = set()

    @cached_property
    def pieces(self) -> "Cache | None":
        """Vectors of pieces of attachments, [1, width]; None without a folder."""
        return Cache(self.folder / _PIECES) if self.folder is not None else None

    def get(self, digests: list[str]) -> dict[str, np.ndarray]:
        """Give what is known."""
        self._refresh()
        both = ChainMap(self._known, self._passing)
        return {digest: both[digest] for digest in digests if digest in both}

    def put(self, vectors: Mapping[str, np.ndarray], *, passing: bool = False) -> None:
        """Remember; a folder that cannot be written to is done without.

        Args:
            vectors: by digest of content.
            passing: whether to remember in memory alone, though there is a folder.
        """
        if self.folder is None or passing:
            if len(self._passing) > _MOST_IN_MEMORY:
                self._passing.clear()
            self._passing.update(vectors)
            return
        self._known.update(vectors)
        try:
            self._write(self.folder, vectors)
        except OSError:
            self.folder = None

    def _write(self, folder: Path, vectors: Mapping[str, np.ndarray]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = digest_of(sorted(vectors))[:32]
        beside = folder / f"{name}.{os.getpid()}.tmp"
        save_file(
            {
                "digest": np.array([list(bytes.fromhex(digest)) for digest in vectors], np.uint8),
                "count": np.array([len(vector) for vector in vectors.values()], np.int64),
                "vector": np.concatenate(list(vectors.values())),
            },
            beside,
        )
        with beside.open("rb+") as handle:
            os.fsync(handle.fileno())
        beside.replace(folder / f"{name}.safetensors")
        self._read.add(name)

    def _refresh(self) -> None:
        """Read what this or another process has written since; what cannot be read is worked out again."""
        if self.folder is None or not self.folder.is_dir():
            return
        for path in sorted(self.folder.glob("*.safetensors")):
            if path.stem in self._read:
                continue
            self._read.add(path.stem)
            try:
                self._known.update(_contents(load_file(path)))
            except (SafetensorError, OSError, KeyError):
                path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Pieces:
    """Vectors of texts that documents have in common, such as sentences.

    Attributes:
        cache: where they are kept; None to keep none.
        passing: whether new ones are not to be kept.
    """

    cache: Cache | None = None
    passing: bool = True

    def get(self, texts: list[str]) -> dict[str, np.ndarray]:
        """Give the vectors that are known."""
        if self.cache is None:
            return {}
        digests = {digest_of(text): text for text in texts}
        return {digests[digest]: vector[0] for digest, vector in self.cache.get(list(digests)).items()}

    def put(self, vectors: Mapping[str, np.ndarray]) -> None:
        """Keep vectors."""
        if self.cache is not None and not self.passing:
            self.cache.put({digest_of(text): vector[None] for text, vector in vectors.items()})


def _contents(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    digests = [bytes(row).hex() for row in tensors["digest"]]
    return dict(zip(digests, np.split(tensors["vector"], np.cumsum(tensors["count"])[:-1]), strict=True))
