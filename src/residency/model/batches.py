"""In: packed timelines and a plan drawn from (seed, pass). Out: batches, with everything that is learned."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from residency.contract.packed import ATTACHMENT_KINDS, Packed
from residency.model.coming import Watch
from residency.model.encoders.encoding import Encoded
from residency.model.generative import Coming
from residency.model.heads import N_HEADS
from residency.model.inputs import Inputs, Reader, Rows, Windows, spread
from residency.model.instants import Density
from residency.model.objectives import HazardTargets, Sampled, Told, bootstrap, sample
from residency.model.outcomes import (
    HOUR,
    Followed,
    Targets,
    exposure,
    follow,
    interval_of,
    labelled,
    never_had,
)
from residency.model.queries import Queried
from residency.model.spec import ModelSpec
from residency.timeline import Timelines, take, without
from residency.timeline.segments import offsets, ranges, search

COLUMNS: Final = 256
_CHUNK: Final = 16  # batches whose windows are sorted by length together


@dataclass(frozen=True)
class Piece:
    """The windows of one batch; moments are numbered within each patient.

    Attributes:
        shard: index of the shard.
        patient: row in it.
        low: first moment after the patient's first.
        high: one past the last.
    """

    shard: int
    patient: Int64[np.ndarray, " window"]
    low: Int64[np.ndarray, " window"]
    high: Int64[np.ndarray, " window"]


def plan(data: Timelines, split: str, spec: ModelSpec, rng: np.random.Generator | None) -> list[Piece]:
    """Cut the patients of a split into windows of at most `context` rows, and these into batches.

    Args:
        data: the timelines.
        split: whose patients.
        spec: context and batch size.
        rng: for phase and order; without it, all stays in order.
    """
    pieces: list[Piece] = []
    for shard, packed in enumerate(data.shards):
        patient = np.flatnonzero(data.split(shard) == split)
        pieces += _pieces(shard, _windows(packed, patient, spec.context, rng), spec, rng)
    if rng is not None:
        pieces = [pieces[i] for i in rng.permutation(len(pieces))]
    return pieces


def _windows(
    packed: Packed, patient: Int64[np.ndarray, " patient"], context: int, rng: np.random.Generator | None
) -> Windows:
    dated = np.diff(packed.moment_offset)[patient] - 1
    patient, dated = patient[dated > 0], dated[dated > 0]
    stride = context - 1
    long = dated > stride
    phase = np.zeros(len(dated), np.int64)
    if rng is not None:
        phase[long] = rng.integers(0, stride, int(long.sum()))
    n_each = -(-(dated + phase) // stride)
    of = np.repeat(np.arange(len(dated)), n_each)
    number = np.arange(len(of)) - np.repeat(np.cumsum(n_each) - n_each, n_each)
    low = np.maximum(number * stride - phase[of], 0) + 1
    high = np.minimum((number + 1) * stride - phase[of], dated[of]) + 1
    return Windows(patient[of], low, high)


def _pieces(
    shard: int, windows: Windows, spec: ModelSpec, rng: np.random.Generator | None
) -> Iterator[Piece]:
    order = np.arange(len(windows.patient)) if rng is None else rng.permutation(len(windows.patient))
    most = spec.shape.batch_moments
    n_chunk = max(1, int(_CHUNK * most / max(windows.length.mean(), 1.0))) if len(order) else 1
    for start in range(0, len(order), n_chunk):
        chunk = order[start : start + n_chunk]
        chunk = chunk[np.argsort(windows.length[chunk], kind="stable")]
        length = windows.length[chunk]
        begin = 0
        while begin < len(chunk):
            fits = np.flatnonzero(length[begin:] * np.arange(1, len(chunk) - begin + 1) <= most)
            stop = begin + (int(fits[-1]) + 1 if len(fits) else 1)
            chosen = windows.take(chunk[begin:stop])
            yield Piece(shard, chosen.patient, chosen.low, chosen.high)
            begin = stop


@dataclass(frozen=True)
class Labels:
    """Labels of a batch: rows, hours since, tasks, values, each head's weight, place among its patients'."""

    row: Int64[Tensor, " label"]
    hours: Float32[Tensor, " label"]
    task: Int64[Tensor, " label"]
    value: Float32[Tensor, " label"]
    weight: Float32[Tensor, "label head"]
    number: Int64[Tensor, " label"]


@dataclass(frozen=True)
class Following:
    """Rows whose next moment is in the batch, its panel codes, and ranks of those with values (else NaN)."""

    row: Int64[Tensor, " row"]
    present: Float32[Tensor, "row panel"]
    rank: Float32[Tensor, "row valued"]


@dataclass(frozen=True)
class Batch:
    """What the network reads, and what it learns from it.

    Attributes:
        inputs: tensors by row.
        index_row: rows that hazards are asked of, with hours since.
        hazard: what followed them.
        labels: the data set's own.
        following: what the next moments hold.
        coming: what came after the index rows; None where nobody learns it.
        queried: what that tells of sets and of thresholds; None where nobody learns it.
        n_events: observations in the batch.
        told: what a teacher says; None where it says nothing.
    """

    inputs: Inputs
    index_row: Int64[Tensor, " index"]
    index_hours: Float32[Tensor, " index"]
    hazard: HazardTargets
    labels: Labels
    following: Following
    coming: Coming | None
    queried: Queried | None
    n_events: int
    told: Told | None = None


@dataclass(frozen=True)
class Foretold:
    """Instants of a shard's train patients, and what a teacher says came of some targets' first records.

    Attributes:
        patient: row in the shard, rising.
        time: the instant, µs.
        days: at risk, by interval; 0 for who had the target.
        came: first records, softened: expected ones among them.
        target: the targets.
        scale: how much each counts.
    """

    patient: Int64[np.ndarray, " instant"]
    time: Int64[np.ndarray, " instant"]
    days: Float32[np.ndarray, "instant taught interval"]
    came: Float32[np.ndarray, "instant taught interval"]
    target: Int64[np.ndarray, " taught"]
    scale: Float32[np.ndarray, " taught"]


@dataclass(frozen=True)
class Collator:
    """Makes batches of pieces.

    Attributes:
        reader: of windows.
        targets: that have hazards.
        rate: how frequent each is, for the choice of columns.
        seed: of the bootstrap.
        density: of instants.
        encoded: vectors of each shard's attachments; empty where the data have none.
        modality_drop: share of windows read as though there were no attachments of a kind, each kind apart.
        watch: finds what came next; None where nobody learns it.
        foretold: what a teacher says of each shard's train patients; empty without one.
    """

    reader: Reader
    targets: Targets
    rate: Float32[np.ndarray, " target"]
    seed: int
    density: Density
    encoded: tuple[Encoded, ...] = ()
    modality_drop: float = 0.0
    watch: Watch | None = None
    foretold: tuple[Foretold, ...] = ()

    def collate(self, packed: Packed, piece: Piece, rng: np.random.Generator, *, drop: bool) -> Batch:
        """Read one piece, draw its index times, and find what followed."""
        small, windows = cut_out(packed, piece)
        encoded = self.encoded[piece.shard] if self.encoded else None
        if drop and encoded:
            small, windows = _with_kinds_dropped(small, windows, rng, self.modality_drop)
        rows, inputs = self.reader.read(small, windows, rng if drop else None, encoded=encoded)
        row_of = rows.row_of(small.n_moments)
        weight = bootstrap(np.asarray(small.subject), self.seed)
        followed = follow(small, self.density.draw(small, windows, rng), self.targets)
        held = followed.index
        coming, queried = self.watch.look(small, followed, rng) if self.watch else (None, None)
        return Batch(
            inputs=inputs,
            index_row=torch.from_numpy(row_of[held.moment]),
            index_hours=torch.from_numpy((held.elapsed / HOUR).astype(np.float32)),
            hazard=hazard_targets(small, followed, self.targets, sample(self.rate, COLUMNS, rng), weight),
            labels=labels_of(small, row_of, weight),
            following=self._following(small, rows),
            coming=coming,
            queried=queried,
            n_events=int((small.event_offset[rows.moment + 1] - small.event_offset[rows.moment]).sum()),
            told=self._told(piece, small, windows, row_of, weight) if self.foretold else None,
        )

    def _told(
        self,
        piece: Piece,
        small: Packed,
        windows: Windows,
        row_of: Int64[np.ndarray, " moment"],
        weight: Float32[np.ndarray, "patient head"],
    ) -> Told | None:
        said = self.foretold[piece.shard]
        begin, end = (np.searchsorted(said.patient, piece.patient, side) for side in ("left", "right"))
        at, window = ranges(begin, end - begin), np.repeat(np.arange(len(begin)), end - begin)
        low, high = windows.low[window], windows.high[window]
        moment = search(np.asarray(small.moment_time), (low, high), said.time[at], "right") - 1
        last = high >= small.moment_offset[window + 1]
        after = np.array(small.moment_time[np.minimum(high, small.n_moments - 1)])
        held = (moment >= low) & (last | (said.time[at] < after))
        at, window, moment = at[held], window[held], moment[held]
        if not len(at):
            return None
        elapsed = said.time[at] - np.array(small.moment_time[moment])
        tensor = torch.from_numpy
        return Told(
            row=tensor(row_of[moment]),
            hours=tensor((elapsed / HOUR).astype(np.float32)),
            days=tensor(said.days[at]),
            came=tensor(said.came[at]),
            weight=tensor(weight[window]),
            target=tensor(said.target),
            scale=tensor(said.scale),
        )

    def _following(self, packed: Packed, rows: Rows) -> Following:
        next_in = np.flatnonzero(
            (rows.window[1:] == rows.window[:-1]) & (rows.moment[1:] == rows.moment[:-1] + 1)
        )
        moment = rows.moment[next_in + 1]
        count = packed.event_offset[moment + 1] - packed.event_offset[moment]
        begin = np.repeat(packed.event_offset[moment] - (np.cumsum(count) - count), count)
        event = begin + np.arange(len(begin))
        code, row = np.array(packed.event_code[event]), np.repeat(np.arange(len(moment)), count)
        layout = self.reader.layout
        rank = self.reader.vocabulary.rank(code, np.array(packed.event_value[event]))
        present = np.zeros((len(moment), len(layout.panel)), np.float32)
        ranks = np.full((len(moment), layout.n_valued), np.nan, np.float32)
        at, place = layout.places(code.astype(np.int64))
        present[row[at], place] = 1.0
        slot = layout.slot[code]
        held = (slot >= 0) & (slot < layout.n_valued)
        ranks[row[held], slot[held]] = spread(rank[held])
        return Following(torch.from_numpy(next_in), torch.from_numpy(present), torch.from_numpy(ranks))


def cut_out(packed: Packed, piece: Piece) -> tuple[Packed, Windows]:
    """Give the patients of a piece by themselves, and its windows in them."""
    small = take(packed, piece.patient)
    begin = small.moment_offset[:-1]
    return small, Windows(np.arange(small.n_patients), begin + piece.low, begin + piece.high)


def _with_kinds_dropped(
    packed: Packed, windows: Windows, rng: np.random.Generator, share: float
) -> tuple[Packed, Windows]:
    """Take kinds of attachments away from some windows, each of which is of a patient of its own."""
    gone = rng.random((packed.n_patients, len(ATTACHMENT_KINDS))) < share
    left, kept = without(packed, gone)
    new = offsets(kept.astype(np.int64))
    return left, Windows(windows.patient, new[windows.low], new[windows.high])


def hazard_targets(
    packed: Packed,
    followed: Followed,
    targets: Targets,
    columns: Sampled,
    weight: Float32[np.ndarray, "patient head"] | None = None,
) -> HazardTargets:
    """Put what followed some instants into tensors.

    Args:
        packed: the timelines.
        followed: what followed.
        targets: that have hazards.
        columns: targets whose exposure is worked out.
        weight: of each patient for each head; all 1 without.
    """
    if weight is None:
        weight = np.ones((packed.n_patients, N_HEADS), np.float32)
    index, edges = followed.index, targets.edges
    as_of = np.array(packed.moment_time[index.moment]) + index.elapsed
    interval = interval_of(followed.wait, edges)
    inside = interval < len(edges) - 1
    tensor = torch.from_numpy
    return HazardTargets(
        row=tensor(followed.row[inside]),
        target=tensor(followed.target[inside]),
        interval=tensor(interval[inside]),
        first=tensor(followed.first[inside]),
        columns=tensor(columns.target),
        column_weight=tensor(columns.weight),
        days=tensor(exposure(followed, edges, columns.target, len(targets))),
        weight=tensor(weight[index.patient]),
        never=tensor(never_had(followed.found, index.patient, as_of, columns.target)),
    )


def labels_of(packed: Packed, row_of: np.ndarray, weight: np.ndarray) -> Labels:
    """Give the labels that lie at rows of a batch.

    Args:
        packed: the batch's patients.
        row_of: row of each moment; -1 outside the batch.
        weight: of each patient for each head.
    """
    all_labels = labelled(packed)
    row = row_of[all_labels.moment]
    held = (row >= 0) & np.isfinite(all_labels.value)
    tensor = torch.from_numpy
    return Labels(
        row=tensor(row[held]),
        hours=tensor((all_labels.elapsed[held] / HOUR).astype(np.float32)),
        task=tensor(all_labels.task[held]),
        value=tensor(all_labels.value[held]),
        weight=tensor(weight[all_labels.patient[held]]),
        number=torch.from_numpy(np.flatnonzero(held)),
    )
