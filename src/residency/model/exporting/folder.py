"""In: a trained or adapted model. Out: config.json, model.safetensors, README.md and tables; and back.

`config.json` names every file's digest, and reading the folder back checks them; our manifest may be missing.
"""

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import polars as pl
from torch import Tensor

from residency import __version__
from residency.contract.digests import digest_file
from residency.contract.errors import LineageError
from residency.contract.lineage import Manifest, Rows, Step, open_made
from residency.contract.schema import MANIFEST
from residency.model.adaptation.adapting import STEP
from residency.model.adaptation.opening import base_of
from residency.model.attachments import ENCODERS_FOLDER
from residency.model.checkpoint import write_tensors
from residency.model.exporting.card import card_of
from residency.model.opened import Model
from residency.model.settings import (
    CALIBRATION_FILE,
    TARGETS_FILE,
    WEIGHTS_FILE,
    Settings,
    settings_of,
)
from residency.timeline.vocabulary import VALUES_FILE, VOCABULARY_FILE

CONFIG_FILE: Final = "config.json"
CARD_FILE: Final = "README.md"
MODEL_TYPE: Final = "residency"


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """What `config.json` holds: what other tools look for, and what we read back.

    Attributes:
        model_type: ours.
        architectures: the class that opens it.
        torch_dtype: of the weights.
        hidden_size: width of a moment's vector.
        num_hidden_layers: of the trunk.
        num_attention_heads: of a layer.
        max_position_embeddings: moments attended to.
        vocab_size: codes.
        residency_version: that wrote it.
        residency_digest: of the model.
        settings: all the rest.
        files: SHA-256 of every other file.
    """

    model_type: str
    architectures: tuple[str, ...]
    torch_dtype: str
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    max_position_embeddings: int
    vocab_size: int
    residency_version: str
    residency_digest: str
    settings: Settings
    files: dict[str, str]


def export_model(model: Path, out: Path, *, now: datetime) -> Manifest:
    """Write a model as others expect to find one; an adapter is merged into its base.

    Args:
        model: what training or `adapt` made.
        out: folder to write.
        now: start of the run, aware.

    Raises:
        LineageError: the model is not finished or was altered, or `out` holds something else.
    """
    with Step(out, name="export", inputs=[model], spec={}, now=now) as step:
        if step.manifest is not None:
            return step.manifest
        opened, made = Model.open(model), open_made(model)
        weights: dict[str, Tensor] = dict(opened.network.named_parameters())
        step.file(WEIGHTS_FILE, make=lambda path: write_tensors(path, weights, {"format": "pt"}))
        step.file(VOCABULARY_FILE, make=opened.vocabulary.write_codes)
        step.file(VALUES_FILE, make=opened.vocabulary.write_values)
        step.file(TARGETS_FILE, make=partial(_write_targets, opened))
        step.file(CALIBRATION_FILE, make=opened.calibration.write)
        step.file(CARD_FILE, make=lambda path: _write(path, card_of(opened, made).encode()))
        for path in _encoders(model):
            step.file(path[1], make=partial(_copy, path[0]))
        config = _config(opened, out)
        step.file(CONFIG_FILE, make=lambda path: _write(path, config))
        return step.finish(rows=Rows(read=made.rows.read, kept=made.rows.kept))


def _write(path: Path, body: bytes) -> None:
    path.write_bytes(body)


def _encoders(model: Path) -> list[tuple[Path, str]]:
    """Give the files of encoders that lie with a model, or with an adapter's base, and their names."""
    home = base_of(model) if open_made(model).step == STEP else model
    files = sorted(path for path in (home / ENCODERS_FOLDER).rglob("*") if path.is_file())
    return [(path, path.relative_to(home).as_posix()) for path in files]


def _copy(source: Path, path: Path) -> None:
    path.write_bytes(source.read_bytes())


def _write_targets(model: Model, path: Path) -> int:
    rows = pl.DataFrame({"code": list(model.targets)}, schema={"code": pl.String})
    rows.write_parquet(path, compression="zstd")
    return len(rows)


def _config(model: Model, out: Path) -> bytes:
    spec = model.spec
    named = model.attaching.named(spec.encoders)
    settings = settings_of(
        spec, model.labels, model.reader.layout.panel, model.edges_days, named, model.routine
    )
    settings = msgspec.structs.replace(settings, taught=model.taught)
    config = Config(
        model_type=MODEL_TYPE,
        architectures=("ResidencyModel",),
        torch_dtype="float32",
        hidden_size=spec.shape.width,
        num_hidden_layers=spec.shape.depth,
        num_attention_heads=spec.n_attention,
        max_position_embeddings=spec.context,
        vocab_size=len(model.vocabulary),
        residency_version=__version__,
        residency_digest=model.digest,
        settings=settings,
        files=_digests(out),
    )
    return msgspec.json.format(msgspec.json.encode(config), indent=2)


def _digests(folder: Path) -> dict[str, str]:
    """Give the digest of every file, our own manifest and the folder of work apart."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    named = {path.relative_to(folder).as_posix(): path for path in files}
    return {
        name: digest_file(path)
        for name, path in named.items()
        if not name.startswith(".") and name not in (CONFIG_FILE, MANIFEST)
    }


def open_exported(folder: Path) -> Model:
    """Open an exported folder, every file of it checked; our manifest need not be there.

    Raises:
        LineageError: a file is missing, strange or altered, or the folder is no export.
    """
    try:
        config = msgspec.json.decode((folder / CONFIG_FILE).read_bytes(), type=Config)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError):
        raise LineageError("no config.json of an exported model", where=str(folder)) from None
    if config.model_type != MODEL_TYPE:
        raise LineageError("config.json is of another kind of model", where=str(folder))
    for name, digest in config.files.items():
        if not (folder / name).is_file() or digest_file(folder / name) != digest:
            raise LineageError("a file is missing or was altered", where=name, mend="fetch the folder again")
    return Model.read(folder, config.settings, config.residency_digest)
