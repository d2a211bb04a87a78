"""In: timelines with labels. Out: the same, whose train labels are softened by what trees say of them.

Labels of one patient repeat each other, and a network learns patients by heart within a pass. Trees do not,
so they teach (knowledge distillation: Hinton, 2015): trees grown on three quarters of the train patients say
what they expect of the last quarter, and the network learns a mean of that and of what came. No patient's
trees ever saw that patient; the network alone answers.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from residency.contract.errors import TrainingError
from residency.contract.packed import Packed
from residency.contract.progress import Progress
from residency.model.batches import Piece, cut_out, labels_of, plan
from residency.model.checkpoint import kept
from residency.model.fitting import Setup
from residency.model.inputs import Inputs, Reader
from residency.model.spec import ModelSpec
from residency.model.standing import later, standing_of
from residency.timeline import Timelines
from residency.timeline.segments import ranges

TRUST: Final = 0.7  # in the trees, the rest in what came
FOLDS: Final = 4
_LEAST_PATIENTS: Final = 100  # with the label, and without
_MOST_ROWS: Final = 400_000  # that a fold's trees grow on
_TREES: Final = 150
_RATE: Final = 0.06
_FILE: Final = "taught.safetensors"


@dataclass(frozen=True)
class Rows:
    """Labelled instants of train patients.

    Attributes:
        features: what stands on record: last rank, hours since, change and count of each code, and the clock.
        value: the labels; 0 or 1.
        task: of each.
        shard: of each.
        number: of each label in its shard.
        fold: of each label's patient.
    """

    features: Float32[np.ndarray, "label feature"]
    value: Float32[np.ndarray, " label"]
    task: Int64[np.ndarray, " label"]
    shard: Int64[np.ndarray, " label"]
    number: Int64[np.ndarray, " label"]
    fold: Int64[np.ndarray, " label"]

    def take(self, chosen: Bool[np.ndarray, " label"]) -> "Rows":
        """Give some."""
        return Rows(**{name: array[chosen] for name, array in vars(self).items()})


def boosting() -> Any:
    """Give LightGBM.

    Raises:
        TrainingError: it is not installed.
    """
    try:
        import lightgbm
    except ModuleNotFoundError:
        raise TrainingError(
            "trees are to teach, and LightGBM is not installed", mend="pip install residency[validation]"
        ) from None
    return lightgbm


def tree_settings(n_rows: int, *, learning_rate: float, leaves: int, seed: int) -> dict[str, object]:
    """As LightGBM names them; with them the same rows give the same trees on any number of threads."""
    return {
        "objective": "binary",
        "metric": "binary_logloss",
        "learning_rate": learning_rate,
        "num_leaves": leaves,
        "min_data_in_leaf": min(max(n_rows // 400, 10), 100),
        "feature_fraction": 0.5,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "lambda_l2": 5.0,
        "max_bin": 63,
        "seed": seed,
        "deterministic": True,
        "force_col_wise": True,
        "verbosity": -1,
    }


def taught(given: Setup, work: Path, progress: Progress) -> Setup:
    """Soften the labels of train patients by what trees say; all other patients' stay what came.

    Args:
        given: what the training needs.
        work: folder where what the trees say is kept until the training has ended.
        progress: told of each fold.

    Raises:
        TrainingError: LightGBM is not installed.
    """
    if not given.data.labels:
        return given

    def say() -> dict[str, Tensor]:
        told = _said(given.data, _rows(given.data, given.spec, given.collator.reader), progress)
        return {str(n): torch.from_numpy(one) for n, one in enumerate(told)}

    said = kept(work / _FILE, say)
    shards = [_soft(packed, said[str(n)].numpy()) for n, packed in enumerate(given.data.shards)]
    return replace(given, data=replace(given.data, shards=tuple(shards)))


def _soft(packed: Packed, said: Float32[np.ndarray, " label"]) -> Packed:
    value = np.array(packed.label_value)
    known = np.isfinite(said)
    value[known] = (1 - TRUST) * value[known] + TRUST * said[known]
    return packed.with_arrays(label_value=value)


def _rows(data: Timelines, spec: ModelSpec, reader: Reader) -> Rows:
    """Give the labelled instants of all train patients."""
    parts = [_read(data.shards[piece.shard], piece, reader) for piece in plan(data, "train", spec, None)]
    return Rows(**{name: np.concatenate([vars(part)[name] for part in parts]) for name in vars(parts[0])})


def _read(packed: Packed, piece: Piece, reader: Reader) -> Rows:
    small, windows = cut_out(packed, piece)
    rows, inputs = reader.read(small, windows)
    labels = labels_of(small, rows.row_of(small.n_moments), np.ones((small.n_patients, 1), np.float32))
    patient = np.searchsorted(small.label_offset, labels.number.numpy(), "right") - 1
    begin = packed.label_offset[piece.patient]
    number = ranges(begin, packed.label_offset[piece.patient + 1] - begin)[labels.number]
    return Rows(
        features=features_at(inputs, labels.row, labels.hours),
        value=labels.value.numpy(),
        task=labels.task.numpy(),
        shard=np.full(len(number), piece.shard, np.int64),
        number=number,
        fold=np.asarray(small.subject)[patient] % FOLDS,
    )


def features_at(
    inputs: Inputs, row: Int64[Tensor, " instant"], hours: Float32[Tensor, " instant"]
) -> Float32[np.ndarray, "instant feature"]:
    """Give what trees read: the last rank, hours since, change and count of each code, and the clock."""
    panel, clock = standing_of(inputs, {}).panel[row], later(inputs.clock[row], hours)
    panel[:, 1] += hours[:, None]
    both: np.ndarray = torch.cat([panel.flatten(1), clock], dim=1).numpy()
    return both


def _said(data: Timelines, rows: Rows, progress: Progress) -> list[Float32[np.ndarray, " label"]]:
    """Give what trees of other patients say of each label, by shard; NaN where none say anything."""
    told = [np.full(len(packed.label_value), np.nan, np.float32) for packed in data.shards]
    for task in range(len(data.labels)):
        mine = rows.take(rows.task == task)
        if not _teachable(mine):
            continue
        for fold, (held, said) in enumerate(_folds(mine)):
            progress("grow trees", task * FOLDS + fold + 1, len(data.labels) * FOLDS)
            for shard, into in enumerate(told):
                here = held.shard == shard
                into[held.number[here]] = said[here]
    return told


def _teachable(rows: Rows) -> bool:
    """Whether there are enough of both, and nothing but 0 and 1."""
    ones = rows.value == 1
    binary = bool((ones | (rows.value == 0)).all())
    return binary and min(int(ones.sum()), int((~ones).sum())) >= _LEAST_PATIENTS


def _folds(rows: Rows) -> Iterator[tuple[Rows, Float32[np.ndarray, " label"]]]:
    """Grow trees on the other folds and give what they say of each fold."""
    lightgbm = boosting()
    settings = {
        **tree_settings(len(rows.value), learning_rate=_RATE, leaves=31, seed=0),
        "num_threads": torch.get_num_threads(),
    }
    for fold in range(FOLDS):
        held, others = rows.take(rows.fold == fold), np.flatnonzero(rows.fold != fold)
        if not len(held.value) or not len(others):
            continue
        some = others[np.random.default_rng(fold).permutation(len(others))[:_MOST_ROWS]]
        grown = lightgbm.Dataset(rows.features[some], rows.value[some], params=settings)
        trees: Any = lightgbm.train(settings, grown, _TREES)
        yield held, np.asarray(trees.predict(held.features), np.float32)
