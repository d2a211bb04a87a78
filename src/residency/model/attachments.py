"""In: timelines whose moments have attachments, and a spec. Out: frozen encoders and scaled vectors.

Which kinds a model reads is settled in training: those that have an encoder and that enough train patients
have. Of the others every trace is taken away, so the model is what it would be without them.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from jaxtyping import Bool, Float32, Int64
from safetensors.numpy import load_file, save_file

from residency.contract.errors import LineageError
from residency.contract.packed import ATTACHMENT_KINDS, Packed
from residency.contract.plugins import ENCODERS, Encoder
from residency.contract.progress import Progress, silent
from residency.model.encoders.cache import Cache
from residency.model.encoders.encoding import Encoded, Vectors, encode
from residency.model.spec import ModelSpec
from residency.timeline import Attachments, Timelines, take, without

ENCODERS_FOLDER: Final = "encoders"
SCALES_FILE: Final = f"{ENCODERS_FOLDER}/scales.safetensors"
TAUGHT: Final = ("train", "tuning")  # splits whose attachments training looks at
_LEAST_SPREAD: Final = 0.05
_FARTHEST: Final = 6.0


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """One kind's encoder, as `model.json` keeps it."""

    name: str
    digest: str
    width: int


@dataclass(frozen=True)
class Scale:
    """Brings each number of a kind's vectors to mean 0 and spread 1, by the train patients'."""

    mean: Float32[np.ndarray, " width"]
    spread: Float32[np.ndarray, " width"]

    def over(self, vectors: Vectors) -> Vectors:
        """Give scaled vectors."""
        if not len(vectors.vector):
            return replace(vectors, vector=np.zeros((0, len(self.mean)), np.float16))
        scaled = (vectors.vector.astype(np.float32) - self.mean) / self.spread
        return replace(vectors, vector=np.clip(scaled, -_FARTHEST, _FARTHEST).astype(np.float16))


@dataclass(frozen=True)
class Attaching:
    """The frozen encoders of a model, with what has been worked out already.

    Attributes:
        encoders: by kind of attachment.
        scales: by kind; empty before they are fitted.
    """

    encoders: dict[str, Encoder]
    scales: dict[str, Scale]

    @cached_property
    def _caches(self) -> dict[tuple[str, Path | None], Cache]:
        return {}

    def cache(self, kind: str, home: Path | None) -> Cache:
        """Give what is known of a kind's vectors, in a folder of timelines or in memory."""
        if (kind, home) not in self._caches:
            folder = home / self.encoders[kind].digest[:32] if home is not None else None
            self._caches[kind, home] = Cache(folder)
        return self._caches[kind, home]

    def raw(
        self, attachments: Attachments, packed: Packed, kind: str, progress: Progress = silent
    ) -> Vectors:
        """Encode one kind of what is attached to the patients of `packed`."""
        number = ATTACHMENT_KINDS.index(kind)
        refs = np.array(packed.attachment_ref[packed.attachment_kind == number], np.int64)
        cache = self.cache(kind, attachments.home)
        return encode(attachments, refs, self.encoders[kind], cache, kind=number, progress=progress)

    def encoded(
        self, attachments: Attachments, packed: Packed, kinds: tuple[str, ...] = ATTACHMENT_KINDS
    ) -> Encoded:
        """Give scaled vectors of what is attached to the patients of `packed`."""
        return {
            kind: scale.over(self.raw(attachments, packed, kind))
            for kind, scale in self.scales.items()
            if kind in kinds
        }

    def named(self, names: dict[str, str]) -> dict[str, Named]:
        """Give what a model keeps of its encoders, which have these names."""
        return {
            kind: Named(name=names[kind], digest=encoder.digest, width=len(self.scales[kind].mean))
            for kind, encoder in self.encoders.items()
        }


def kinds_read(data: Timelines, spec: ModelSpec) -> tuple[str, ...]:
    """Give the kinds that a model of these data reads: with an encoder, of enough train patients."""
    n_patients = np.zeros(len(ATTACHMENT_KINDS), np.int64)
    for shard, packed in enumerate(data.shards):
        n_patients += _has(packed)[data.split(shard) == "train"].sum(axis=0)
    return tuple(
        kind
        for kind, n in zip(ATTACHMENT_KINDS, n_patients, strict=True)
        if kind in spec.encoders and n >= spec.min_patients
    )


def _has(packed: Packed) -> Bool[np.ndarray, "patient kind"]:
    """Say which patients have which kinds at all."""
    n_each = np.diff(packed.attachment_offset[packed.moment_offset])
    owner = np.repeat(np.arange(packed.n_patients), n_each)
    has = np.zeros((packed.n_patients, len(ATTACHMENT_KINDS)), bool)
    has[owner, packed.attachment_kind] = True
    return has


def reading(data: Timelines, kinds: tuple[str, ...]) -> Timelines:
    """Give timelines without a trace of other kinds."""
    return replace(data, shards=tuple(without_kinds(packed, kinds) for packed in data.shards))


def without_kinds(packed: Packed, kinds: tuple[str, ...]) -> Packed:
    """Leave only some kinds of attachments."""
    gone = np.array([kind not in kinds for kind in ATTACHMENT_KINDS])
    if not gone[packed.attachment_kind].any():
        return packed
    return without(packed, np.tile(gone, (packed.n_patients, 1)))[0]


def fit_scales(
    data: Timelines, encoders: dict[str, Encoder], progress: Progress
) -> tuple[Attaching, tuple[Encoded, ...]]:
    """Encode what training looks at; scale it by the train patients'.

    Args:
        data: timelines with the attachments that are read.
        encoders: frozen, by kind.
        progress: told of each batch.
    """
    bare = Attaching(encoders, {})
    raw: list[Encoded] = []
    own: dict[str, list[np.ndarray]] = {kind: [] for kind in encoders}
    for shard, packed in enumerate(data.shards):
        attachments, split = data.attachments(shard), data.split(shard)
        looked_at = take(packed, np.flatnonzero(np.isin(split, TAUGHT)))
        raw.append({kind: bare.raw(attachments, looked_at, kind, progress) for kind in encoders})
        taught = take(packed, np.flatnonzero(split == "train"))
        for kind, found in own.items():
            found.append(_of(raw[-1][kind], taught, kind))
    scales = {kind: _scale(parts) for kind, parts in own.items()}
    return replace(bare, scales=scales), tuple(
        {kind: scales[kind].over(vectors) for kind, vectors in found.items()} for found in raw
    )


def _of(vectors: Vectors, packed: Packed, kind: str) -> np.ndarray:
    """Give the vectors of some patients' attachments, each content once."""
    refs = packed.attachment_ref[packed.attachment_kind == ATTACHMENT_KINDS.index(kind)]
    refs = refs[vectors.count[refs] > 0]
    begin, at = np.unique(vectors.begin[refs], return_index=True)
    rows = [np.arange(b, b + n) for b, n in zip(begin, vectors.count[refs][at], strict=True)]
    chosen: np.ndarray = vectors.vector[np.concatenate(rows) if rows else np.zeros(0, np.int64)]
    return chosen


def _scale(parts: list[np.ndarray]) -> Scale:
    width = max(part.shape[1] for part in parts)
    n, total, squares = 0, np.zeros(width), np.zeros(width)
    for part in parts:
        if len(part):
            wide = part.astype(np.float64)
            n, total, squares = n + len(wide), total + wide.sum(axis=0), squares + (wide**2).sum(axis=0)
    mean = total / max(n, 1)
    spread = np.sqrt(np.maximum(squares / max(n, 1) - mean**2, 0.0))
    return Scale(mean.astype(np.float32), np.maximum(spread, _LEAST_SPREAD).astype(np.float32))


def write_scales(path: Path, scales: dict[str, Scale]) -> None:
    """Write the scales of every kind."""
    save_file(
        {f"{kind}/{name}": value for kind, scale in scales.items() for name, value in vars(scale).items()},
        path,
    )


def open_encoders(folder: Path, named: dict[str, Named]) -> Attaching:
    """Make a model's encoders ready again.

    Raises:
        LineageError: one is not what the model was trained with.
        PluginError: one is not installed.
    """
    if not named:
        return Attaching({}, {})
    encoders = {kind: ready(one.name, weights_of(folder, kind)) for kind, one in named.items()}
    for kind, one in named.items():
        if encoders[kind].digest != one.digest:
            raise LineageError(
                f"the {kind} encoder is not the one that the model was trained with",
                where=one.name,
                mend="install the version of it that the model was trained with, or train again",
            )
    kept = load_file(folder / SCALES_FILE)
    return Attaching(encoders, {kind: Scale(kept[f"{kind}/mean"], kept[f"{kind}/spread"]) for kind in named})


def weights_of(folder: Path, kind: str) -> Path | None:
    """Give the folder in which a model keeps the weights of an encoder that was trained with it."""
    path = folder / ENCODERS_FOLDER / kind
    return path if path.is_dir() else None


def ready(name: str, weights: Path | None) -> Encoder:
    """Load an encoder.

    Raises:
        PluginError: it is not installed.
    """
    encoder = ENCODERS.get(name)
    encoder.load(weights, "cpu")
    return encoder


def used(
    packed: Packed, encoded: Encoded, upto: Int64[np.ndarray, " index"], first: Int64[np.ndarray, " index"]
) -> Bool[np.ndarray, "index kind"]:
    """Say which kinds of attachments are among the moments from `first` to `upto`, both included."""
    said = np.zeros((len(upto), len(ATTACHMENT_KINDS)), bool)
    for kind, vectors in encoded.items():
        number = ATTACHMENT_KINDS.index(kind)
        mine = np.flatnonzero(packed.attachment_kind == number)
        mine = mine[vectors.count[packed.attachment_ref[mine]] > 0]
        moment = np.searchsorted(packed.attachment_offset, mine, "right") - 1
        said[:, number] = np.searchsorted(moment, upto, "right") > np.searchsorted(moment, first, "left")
    return said
