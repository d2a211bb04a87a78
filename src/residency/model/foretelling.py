"""In: timelines. Out: at instants of train patients, what trees of other patients expect to come first when.

Few events teach a network many numbers badly; trees pick a few of them. So they teach (knowledge
distillation: Hinton, 2015) the first records of chosen codes: trees grown on three quarters of the train
patients, with a Poisson likelihood of hazards constant over spans of time, say what they expect of the last
quarter. The network learns a mean of that and of what came, and nothing else of these records. No patient's
trees ever saw that patient; the network alone answers.

What follows them closely is a small network for each code, on the few codes of the record that its trees
looked at most (`own.py`). It has lessons of its own before the network as a whole begins, which leaves it as
it is.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from torch.nn.utils import clip_grad_norm_

from residency.contract.errors import TrainingError
from residency.contract.packed import Packed
from residency.contract.progress import Progress
from residency.model.batches import Foretold, Piece, cut_out, hazard_targets, plan
from residency.model.checkpoint import kept, named, same, under
from residency.model.fitting import CLIP, Setup, network_of, rate_at
from residency.model.heads import SPANS_DAYS
from residency.model.inputs import Reader
from residency.model.instants import Density
from residency.model.levelling import levelled
from residency.model.objectives import Sampled, Told, bootstrap, foretold_loss
from residency.model.outcomes import HOUR, Targets, follow, targets_of
from residency.model.own import PICKED, OwnMaps, Taught
from residency.model.standing import Standing
from residency.model.teaching import FOLDS, TRUST, boosting, features_at, taught, tree_settings

_STREAM: Final = 5  # of random numbers
_PER_PATIENT: Final = 24.0  # instants, about: those of one patient repeat each other
_MOST: Final = 300_000  # instants
_QUIET: Final = 30_000, 10  # instants without an event that trees grow on: so many, or so many an event
_LEAST_ILL: Final = 20  # patients with the record within a span, for trees of their own
_TREES: Final = 100
_RATE: Final = 0.06
_LEAF: Final = 10.0  # expected patients with the record (times e^0.7, as LightGBM counts) that a leaf needs
PASSES: Final = 4  # of lessons; more where these are few
_LEAST_STEPS: Final = 100
_AT_ONCE: Final = 512  # instants
_LEARNING_RATE: Final = 1e-3
_FILE: Final = "lessons.safetensors"
_OWN: Final = "own"
_PICKED: Final = "picked"
_KEPT: Final = ("patient", "time", "days", "came")


@dataclass(frozen=True)
class Rows:
    """Instants of train patients.

    Attributes:
        features: what stands on record, and the clock.
        patient: row in its shard.
        subject: whose it is.
        time: the instant, µs.
        days: at risk of each code's first record, by interval; 0 for who had it.
        came: first records.
    """

    features: Float32[np.ndarray, "row feature"]
    patient: Int64[np.ndarray, " row"]
    subject: Int64[np.ndarray, " row"]
    time: Int64[np.ndarray, " row"]
    days: Float32[np.ndarray, "row code interval"]
    came: Float32[np.ndarray, "row code interval"]


def with_teacher(given: Setup, work: Path, progress: Progress) -> Setup:
    """Add what the spec's teacher says of labels and of first records; nothing without one.

    Args:
        given: what the training needs.
        work: folder where what trees say is kept until the training has ended.
        progress: told of each fold.

    Raises:
        TrainingError: a code to be taught is of too few patients, or LightGBM is not installed.
    """
    if not given.spec.teacher:
        return given
    given = taught(given, work, progress)
    return foretold(given, work, progress) if given.spec.taught else given


def foretold(given: Setup, work: Path, progress: Progress) -> Setup:
    """Add what trees expect of the codes that the spec names.

    Args:
        given: what the training needs.
        work: folder where what the trees say is kept until the training has ended.
        progress: told of each fold.

    Raises:
        TrainingError: a code is of too few patients, or LightGBM is not installed.
    """
    chosen = chosen_targets(given)
    said = kept(work / _FILE, lambda: _grown(given, chosen, progress))
    scale = said["scale"].numpy()
    lessons = []
    for n in range(len(given.data.shards)):
        patient, time, days, came = (said[f"{name}/{n}"].numpy() for name in _KEPT)
        lessons.append(Foretold(patient, time, days, came, chosen, scale))
    collator = replace(given.collator, foretold=tuple(lessons))
    return replace(given, collator=collator, taught=_paired(chosen, said[_PICKED]), own=under(_OWN, said))


def chosen_targets(given: Setup) -> Int64[np.ndarray, " code"]:
    """Give the targets whose first records are taught.

    Raises:
        TrainingError: a code is of too few train patients, or of none. (Death always has a hazard.)
    """
    vocabulary, targets = given.data.vocabulary, given.marginals.targets
    at = {int(code): n for n, code in enumerate(targets.code)}
    wanted = [vocabulary.index_of(name) for name in given.spec.taught]
    enough = [one for one in wanted if one in at and vocabulary.n_patients[one] >= given.spec.min_patients]
    if len(enough) < len(wanted):
        raise TrainingError(
            f"{len(wanted) - len(enough)} of the {len(wanted)} codes to be taught are of too few patients",
            mend="name codes that enough train patients have (`min_patients`), or none",
        )
    return np.array([at[one] for one in enough], np.int64)


def _paired(chosen: Int64[np.ndarray, " code"], picked: Int64[torch.Tensor, "code picked"]) -> Taught:
    return tuple((int(target), tuple(codes)) for target, codes in zip(chosen, picked.tolist(), strict=True))


def _grown(given: Setup, chosen: np.ndarray, progress: Progress) -> dict[str, torch.Tensor]:
    """Draw instants, grow trees, and give by shard what is learned there."""
    targets = given.marginals.targets
    asked = targets_of(given.data.vocabulary, targets.code[chosen], targets.edges_days)
    column = np.array([int(np.flatnonzero(asked.code == code)[0]) for code in targets.code[chosen]])
    shard, rows = _rows(given, asked)
    rows = replace(rows, days=rows.days[:, column], came=rows.came[:, column])
    spans = np.searchsorted(SPANS_DAYS, targets.edges_days[:-1], "right")
    expected, rates = np.empty_like(rows.came), np.empty_like(rows.came)
    n_panel = len(given.collator.reader.layout.panel)
    picked = np.empty((len(chosen), min(PICKED, n_panel)), np.int64)
    for n in range(len(chosen)):
        progress("grow trees", n + 1, len(chosen))
        rates[:, n], gain = _rates(rows, n, spans)
        said = (1.0 - TRUST) * rows.came[:, n] + TRUST * rates[:, n] * rows.days[:, n]
        expected[:, n] = np.where(rates[:, n] > 0, said, rows.came[:, n])  # where no trees speak, what came
        looked_at = gain[: 4 * n_panel].reshape(4, n_panel).sum(axis=0)
        picked[n] = np.argsort(-looked_at, kind="stable")[: picked.shape[1]]
    lessons = replace(rows, came=expected)
    seen = lessons.came.sum(axis=(0, 2), dtype=np.float64) + 1.0
    scale = (seen**-0.5 * len(lessons.time) / (seen**0.5).sum()).astype(np.float32)  # as `Marginals.scale`
    result = {"scale": torch.from_numpy(scale), _PICKED: torch.from_numpy(picked)}
    spoken = replace(lessons, days=lessons.days * (rates > 0), came=lessons.came * (rates > 0))
    taught = replace(given, taught=_paired(chosen, result[_PICKED]))
    result |= named(_OWN, _learned(taught, spoken, chosen, scale, progress))
    for number in range(len(given.data.shards)):
        mine = np.flatnonzero(shard == number)
        mine = mine[np.lexsort((lessons.time[mine], lessons.patient[mine]))]
        for name in _KEPT:
            result[f"{name}/{number}"] = torch.from_numpy(getattr(lessons, name)[mine])
    return result


def _learned(
    given: Setup,
    lessons: Rows,
    chosen: Int64[np.ndarray, " code"],
    scale: Float32[np.ndarray, " code"],
    progress: Progress,
) -> dict[str, torch.Tensor]:
    """Teach the codes' own maps what their trees say, and give their numbers."""
    head, tensor, n = network_of(given).hazard, torch.from_numpy, len(lessons.time)
    own, layout = cast("OwnMaps", head.own), given.collator.reader.layout
    n_panel = 4 * len(layout.panel)
    panel, clock = torch.split(
        tensor(lessons.features), [n_panel, lessons.features.shape[1] - n_panel], dim=1
    )
    record = Standing(panel.reshape(n, 4, -1), clock, {}, layout.n_valued)
    told = Told(
        row=torch.arange(n),
        hours=torch.zeros(n),
        days=tensor(lessons.days),
        came=tensor(lessons.came),
        weight=tensor(bootstrap(lessons.subject, given.spec.seed)),
        target=tensor(chosen),
        scale=tensor(scale),
    )
    own.requires_grad_(True)
    optimiser = torch.optim.AdamW(own.parameters(), weight_decay=0.0)
    usual = head.bias.detach()[0, told.target]
    rng = np.random.default_rng([given.spec.seed, _STREAM, 1])
    n_batches = max(1, n // _AT_ONCE)
    n_passes = max(PASSES, -(-_LEAST_STEPS // n_batches))
    for number in range(n_passes):
        progress("lessons", number + 1, n_passes)
        batches = np.array_split(rng.permutation(n), n_batches)
        for at, rows in enumerate(batches):
            for group in optimiser.param_groups:
                group["lr"] = _LEARNING_RATE * rate_at((number + at / n_batches) / n_passes)
            batch = told.take(tensor(rows))
            said = own(record.numbers(batch.row, batch.hours)).mT[..., head.standing.span]
            loss = foretold_loss(said + usual, batch)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            clip_grad_norm_(own.parameters(), CLIP)
            optimiser.step()
    return same(dict(own.named_parameters()))


def _rows(given: Setup, asked: Targets) -> tuple[Int64[np.ndarray, " row"], Rows]:
    """Draw instants of all train patients, with the shard of each."""
    pieces = plan(given.data, "train", given.spec, None)
    rng = np.random.default_rng([given.spec.seed, _STREAM])
    n_patients = sum(int((given.data.split(n) == "train").sum()) for n in range(len(given.data.shards)))
    parts, shards = [], []
    density = Density.of(given.data, min(_PER_PATIENT, _MOST / max(n_patients, 1)))
    for piece in pieces:
        part = _read(given.data.shards[piece.shard], piece, given.collator.reader, asked, density, rng)
        parts.append(part)
        shards.append(np.full(len(part.time), piece.shard))
    names = vars(parts[0])
    return np.concatenate(shards), Rows(
        **{name: np.concatenate([vars(part)[name] for part in parts]) for name in names}
    )


def _read(
    packed: Packed, piece: Piece, reader: Reader, asked: Targets, density: Density, rng: np.random.Generator
) -> Rows:
    small, windows = cut_out(packed, piece)
    rows, inputs = reader.read(small, windows)
    followed = follow(small, density.draw(small, windows, rng), asked)
    index = followed.index
    every = Sampled(np.arange(len(asked)), np.ones(len(asked), np.float32))
    truth = hazard_targets(small, followed, asked, every)
    days = (truth.days * truth.never[:, :, None]).numpy()
    came = np.zeros_like(days)
    came[truth.row[truth.first], truth.target[truth.first], truth.interval[truth.first]] = 1.0
    row = torch.from_numpy(rows.row_of(small.n_moments)[index.moment])
    hours = torch.from_numpy((index.elapsed / HOUR).astype(np.float32))
    return Rows(
        features=features_at(inputs, row, hours),
        patient=piece.patient[index.patient],
        subject=np.asarray(small.subject)[index.patient],
        time=np.array(small.moment_time[index.moment]) + index.elapsed,
        days=days,
        came=came,
    )


def _rates(
    rows: Rows, code: int, spans: np.ndarray
) -> tuple[Float32[np.ndarray, "row interval"], Float64[np.ndarray, " feature"]]:
    """Give each instant's hazards (per day) as trees of other patients see them, and what trees looked at.

    Hazards are 0, and no trees are grown, where too few events are. Of each span, what each feature gained is
    told as a share.
    """
    result = np.zeros((len(rows.time), len(spans)), np.float32)
    looked_at = np.zeros(rows.features.shape[1])
    for span in np.unique(spans):
        mine = spans == span
        days, came = rows.days[:, code, mine].sum(axis=1), rows.came[:, code, mine].sum(axis=1)
        n_ill = len(np.unique(rows.subject[came > 0]))
        if n_ill >= _LEAST_ILL:
            rate, gain = _beyond_folds(rows, days, came)
            result[:, mine] = levelled(rate, days, came, n_ill)[:, None]
            looked_at += gain / max(gain.sum(), 1e-12)
    return result, looked_at


def _beyond_folds(
    rows: Rows, days: np.ndarray, came: np.ndarray
) -> tuple[Float32[np.ndarray, " row"], Float64[np.ndarray, " feature"]]:
    """Give a span's hazards, each fold's by trees of the others, and what each feature gained them.

    Weights make an event count as its share of a patient: a leaf needs patients, not instants.
    """
    lightgbm, fold = boosting(), rows.subject % FOLDS
    rate, gain = np.zeros(len(days), np.float32), np.zeros(rows.features.shape[1])
    for number in range(FOLDS):
        held, others = np.flatnonzero(fold == number), np.flatnonzero((fold != number) & (days > 0))
        happened = came[others] > 0
        if not len(held) or not happened.any():
            continue
        rng = np.random.default_rng(number)
        quiet = rng.permutation(others[~happened])
        kept = quiet[: max(_QUIET[0], _QUIET[1] * int(happened.sum()))]
        usual = np.log(came[others].sum(dtype=np.float64) / days[others].sum(dtype=np.float64))
        weight = np.full(len(days), len(np.unique(rows.subject[others[happened]])) / happened.sum())
        weight[kept] *= len(quiet) / len(kept) if len(kept) else 1.0
        grown_on = np.sort(np.concatenate([others[happened], kept]))
        settings = {
            **tree_settings(len(grown_on), learning_rate=_RATE, leaves=15, seed=0),
            "objective": "poisson",
            "metric": "poisson",
            "feature_fraction": 0.3,
            "min_sum_hessian_in_leaf": _LEAF,
            "num_threads": torch.get_num_threads(),
        }
        data = lightgbm.Dataset(
            rows.features[grown_on],
            came[grown_on],
            weight=weight[grown_on],
            init_score=np.log(days[grown_on]) + usual,
            params=settings,
        )
        trees: Any = lightgbm.train(settings, data, _TREES)
        rate[held] = np.exp(usual + trees.predict(rows.features[held], raw_score=True))
        gain += trees.feature_importance("gain")
    return rate, gain
