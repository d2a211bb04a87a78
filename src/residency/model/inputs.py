"""In: packed timelines and windows of them. Out: the tensors that the network reads, one row a moment."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from residency.contract.packed import ATTACHMENT_KINDS, STATIC, Packed
from residency.model.encoders.encoding import Encoded, Vectors
from residency.model.layout import KNOTS, Layout
from residency.model.panel import Panel, Seen, state
from residency.timeline import Vocabulary
from residency.timeline.segments import offsets, ranges

CODE_DROP: Final = 0.1


@dataclass(frozen=True)
class Windows:
    """Pieces of patients' records: the patient's first moment, then `low:high`.

    Attributes:
        patient: row in the shard.
        low: first moment after the patient's first, in the shard.
        high: one past the last.
    """

    patient: Int64[np.ndarray, " window"]
    low: Int64[np.ndarray, " window"]
    high: Int64[np.ndarray, " window"]

    @property
    def length(self) -> Int64[np.ndarray, " window"]:
        """Rows of each window."""
        length: np.ndarray = 1 + self.high - self.low
        return length

    def take(self, index: Int64[np.ndarray, " chosen"]) -> "Windows":
        """Give some of the windows."""
        return Windows(self.patient[index], self.low[index], self.high[index])


def spread(rank: Float32[np.ndarray, " event"]) -> Float32[np.ndarray, " event"]:
    """Spread ranks so that the tails, where illness shows, take as much room as the middle; NaN stays.

    Example:
        >>> spread(np.array([0.0, 0.038, 0.5, 1.0], np.float32)).astype(float).round(2).tolist()
        [0.0, 0.12, 0.5, 1.0]
    """
    angle: np.ndarray = np.arccos(1.0 - 2.0 * rank) / np.pi
    return angle.astype(np.float32)


def whole(packed: Packed, patient: Int64[np.ndarray, " window"]) -> Windows:
    """Give each patient's whole record as one window."""
    return Windows(patient, packed.moment_offset[patient] + 1, packed.moment_offset[patient + 1])


@dataclass(frozen=True)
class Rows:
    """Which moments a batch holds, and when they are.

    Attributes:
        moment: in the shard.
        window: each row's window.
        first: first row of each row's window.
        order: the moment's number in the patient's record.
        second: since the patient's first dated moment.
        gap: seconds since the moment before; 0 for the first two.
        age: in years; NaN where the birth is not known.
        origin: time of each window's first dated moment, in µs.
    """

    moment: Int64[np.ndarray, " row"]
    window: Int64[np.ndarray, " row"]
    first: Int64[np.ndarray, " row"]
    order: Int64[np.ndarray, " row"]
    second: Int64[np.ndarray, " row"]
    gap: Int64[np.ndarray, " row"]
    age: Float32[np.ndarray, " row"]
    origin: Int64[np.ndarray, " window"]

    def row_of(self, n_moments: int) -> Int64[np.ndarray, " moment"]:
        """Give the row of each of the shard's moments; -1 for those that are not here."""
        found = np.full(n_moments, -1, np.int64)
        found[self.moment] = np.arange(len(self.moment))
        return found


def rows_of(packed: Packed, windows: Windows) -> Rows:
    """Give the rows of windows, one window after the other."""
    length, begin = windows.length, packed.moment_offset[windows.patient]
    window = np.repeat(np.arange(len(length)), length)
    head = offsets(length)[:-1]
    first = head[window]
    moment = ranges(windows.low - 1, length)
    moment[head] = begin
    time = np.array(packed.moment_time[moment])
    birth = time[head]
    n_moments = packed.moment_offset[windows.patient + 1] - begin
    origin = np.array(packed.moment_time[begin + np.minimum(1, n_moments - 1)])
    origin = np.where(origin == STATIC, 0, origin)
    second = (np.where(time == STATIC, origin[window], time) - origin[window]) // 1_000_000
    before = np.array(packed.moment_time[np.maximum(moment - 1, 0)])
    timed = moment - begin[window] >= 2
    gap = np.where(timed, time - np.where(timed, before, 0), 0) // 1_000_000
    age = np.where(birth[window] == STATIC, np.nan, (second - second[first]) / 31_557_600.0)
    return Rows(moment, window, first, moment - begin[window], second, gap, age.astype(np.float32), origin)


@dataclass(frozen=True)
class Attached:
    """Vectors of one kind of attachment; none where absent. A group is what one moment holds of the kind.

    Attributes:
        vector: vectors of every attachment known by the end of each window, also of those before the window.
        group: of each vector; groups rise with their windows and times.
        seen: row of each vector's moment; -1 where the moment lies before the window.
        latest: the newest group that each row knows of; -1 where none.
        first: its window's first group, where it knows of one.
        hours: since the newest.
    """

    vector: Float32[Tensor, "vector part"]
    group: Int64[Tensor, " vector"]
    seen: Int64[Tensor, " vector"]
    latest: Int64[Tensor, " row"]
    first: Int64[Tensor, " row"]
    hours: Float32[Tensor, " row"]


@dataclass(frozen=True)
class Inputs:
    """What the network reads: observations as bag entries by row, and what is known of each row.

    Attributes:
        entry: rows of the embedding table.
        weight: of each entry.
        bag: where each row's entries begin.
        place: position of each row in the padded batch, `window * longest + number`.
        shape: windows, and rows of the longest.
        second: time of each row.
        order: number of each row's moment.
        clock: hours since the moment before, hours since the first, years of age (NaN unknown).
        rank: last ranks of the panel's codes with values; change of them; hours and count of all.
        attached: vectors of encoders, by kind of attachment.
    """

    entry: Int64[Tensor, " entry"]
    weight: Float32[Tensor, " entry"]
    bag: Int64[Tensor, " row"]
    place: Int64[Tensor, " row"]
    shape: tuple[int, int]
    second: Float64[Tensor, " row"]
    order: Float64[Tensor, " row"]
    clock: Float32[Tensor, "row 3"]
    rank: Float32[Tensor, "row valued"]
    hours: Float32[Tensor, "row panel"]
    change: Float32[Tensor, "row valued"]
    count: Float32[Tensor, "row panel"]
    attached: dict[str, Attached] = field(default_factory=dict)


@dataclass(frozen=True)
class Reader:
    """Reads windows of packed timelines into tensors.

    Attributes:
        vocabulary: ancestors and ranks of values.
        layout: where codes and values lie in the table.
    """

    vocabulary: Vocabulary
    layout: Layout

    def read(
        self,
        packed: Packed,
        windows: Windows,
        rng: np.random.Generator | None = None,
        *,
        encoded: Encoded | None = None,
    ) -> tuple[Rows, Inputs]:
        """Give rows and tensors; with `rng`, drop observations as training does."""
        rows = rows_of(packed, windows)
        seen = self._events(packed, windows, rows)
        keep = np.ones(len(seen.code), bool)
        drop = np.zeros((len(windows.patient), len(self.layout.panel)), bool)
        if rng is not None:
            keep = rng.random(len(seen.code)) >= CODE_DROP
            drop = rng.random(drop.shape) < CODE_DROP
        entry, weight, bag = self._bag(seen, keep & seen.inside, len(rows.moment))
        panel = self._panel(seen, rows, drop)
        inputs = _tensors(rows, windows, (entry, weight, bag), panel)
        if encoded:
            inputs.attached.update(attached_of(packed, windows, rows, encoded))
        return rows, inputs

    def _events(self, packed: Packed, windows: Windows, rows: Rows) -> "_Events":
        """Give the patients' events up to the windows' ends, each with the first row that knows of it."""
        known = _known(packed, windows, rows)
        count = packed.event_offset[known.moment + 1] - packed.event_offset[known.moment]
        event = ranges(packed.event_offset[known.moment], count)
        origin = np.repeat(np.arange(len(known.moment)), count)
        code = np.array(packed.event_code[event])
        rank = self.vocabulary.rank(code, np.array(packed.event_value[event]))
        return _Events(
            code, rank, known.row[origin], known.window[origin], known.second[origin], known.inside[origin]
        )

    def _bag(
        self, seen: "_Events", keep: np.ndarray, n_rows: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        code, row = seen.code[keep].astype(np.int64), seen.row[keep]
        offset = self.vocabulary.ancestor_offset
        n_above = offset[code + 1] - offset[code]
        above = self.vocabulary.ancestor_index[ranges(offset[code], n_above)].astype(np.int64)
        rank = seen.rank[keep]
        valued = np.isfinite(rank) & (self.layout.value_row[code] >= 0)
        scaled = spread(rank[valued]) * (KNOTS - 1)
        low = np.minimum(scaled.astype(np.int64), KNOTS - 2)
        share = (scaled - low).astype(np.float32)
        knot = self.layout.value_row[code[valued]] + low
        entry = np.concatenate([code, above, knot, knot + 1])
        ones = np.ones(len(code) + len(above), np.float32)
        weight = np.concatenate([ones, 1 - share, share])
        owner = np.concatenate([row, np.repeat(row, n_above), row[valued], row[valued]])
        order = np.argsort(owner, kind="stable")
        bag = np.searchsorted(owner[order], np.arange(n_rows))
        return entry[order], weight[order], bag

    def _panel(self, seen: "_Events", rows: Rows, drop: np.ndarray) -> Panel:
        event, slot = self.layout.places(seen.code.astype(np.int64))
        kept = ~drop[seen.window[event], slot]
        event, slot = event[kept], slot[kept]
        chosen = Seen(seen.row[event], slot, spread(seen.rank[event]), seen.second[event], seen.window[event])
        return state(chosen, rows.second, rows.first, len(self.layout.panel), self.layout.n_valued)


@dataclass(frozen=True)
class _Known:
    """The moments up to the windows' ends.

    Attributes:
        moment: in the shard.
        window: each moment's.
        row: the first that knows of it.
        inside: whether the row is its own.
        second: since the patient's first dated moment.
    """

    moment: np.ndarray
    window: np.ndarray
    row: np.ndarray
    inside: np.ndarray
    second: np.ndarray


def _known(packed: Packed, windows: Windows, rows: Rows) -> _Known:
    begin = packed.moment_offset[windows.patient]
    moment = ranges(begin, windows.high - begin)
    window = np.repeat(np.arange(len(begin)), windows.high - begin)
    is_first = moment == begin[window]
    head = offsets(windows.length)[:-1]
    number = np.maximum(moment - windows.low[window], 0) + 1
    time = np.array(packed.moment_time[moment])
    return _Known(
        moment=moment,
        window=window,
        row=head[window] + np.where(is_first, 0, number),
        inside=is_first | (moment >= windows.low[window]),
        second=np.where(time == STATIC, 0, time - rows.origin[window]) // 1_000_000,
    )


def attached_of(packed: Packed, windows: Windows, rows: Rows, encoded: Encoded) -> dict[str, Attached]:
    """Give the vectors of the attachments that the rows know of, by kind."""
    known = _known(packed, windows, rows)
    n_attached = packed.attachment_offset[known.moment + 1] - packed.attachment_offset[known.moment]
    at = ranges(packed.attachment_offset[known.moment], n_attached)
    origin = np.repeat(np.arange(len(known.moment)), n_attached)
    kinds, refs = np.array(packed.attachment_kind[at]), np.array(packed.attachment_ref[at])
    found = {}
    for kind, vectors in encoded.items():
        mine = kinds == ATTACHMENT_KINDS.index(kind)
        mine[mine] = vectors.count[refs[mine]] > 0
        found[kind] = _attached(vectors, refs[mine], known, origin[mine], rows)
    return found


def _attached(vectors: Vectors, ref: np.ndarray, known: _Known, origin: np.ndarray, rows: Rows) -> Attached:
    """Give one kind's attachments, each of a moment of `known`, and what each row knows of them."""
    count = vectors.count[ref]
    chosen = vectors.vector[ranges(vectors.begin[ref], count)].astype(np.float32)
    held, group = np.unique(origin, return_inverse=True)
    row = np.arange(len(rows.moment))
    upto = np.searchsorted(known.row[held], row, "right")
    first = np.searchsorted(known.row[held], rows.first, "left")
    has = upto > first
    latest = np.where(has, upto - 1, -1)
    since = rows.second - known.second[held][latest] if len(held) else rows.second
    seen = np.where(known.inside, known.row, -1)[origin]
    tensor = torch.from_numpy
    return Attached(
        vector=tensor(chosen),
        group=tensor(np.repeat(group, count)),
        seen=tensor(np.repeat(seen, count)),
        latest=tensor(latest),
        first=tensor(np.where(has, first, -1)),
        hours=tensor(np.where(has, since / 3600.0, np.nan).astype(np.float32)),
    )


@dataclass(frozen=True)
class _Events:
    """Events: rank, first row, window, seconds since the patient's origin, and whether in the window."""

    code: np.ndarray
    rank: np.ndarray
    row: np.ndarray
    window: np.ndarray
    second: np.ndarray
    inside: np.ndarray


def _tensors(
    rows: Rows, windows: Windows, bag: tuple[np.ndarray, np.ndarray, np.ndarray], panel: Panel
) -> Inputs:
    longest = int(windows.length.max(initial=1))
    number = np.arange(len(rows.moment)) - rows.first
    clock = np.stack([rows.gap / 3600.0, np.maximum(rows.second, 0) / 3600.0, rows.age], axis=1)
    tensor = torch.from_numpy
    return Inputs(
        entry=tensor(bag[0]),
        weight=tensor(bag[1]),
        bag=tensor(bag[2]),
        place=tensor(rows.window * longest + number),
        shape=(len(windows.patient), longest),
        second=tensor(rows.second.astype(np.float64)),
        order=tensor(rows.order.astype(np.float64)),
        clock=tensor(clock.astype(np.float32)),
        rank=tensor(panel.rank),
        hours=tensor(panel.hours),
        change=tensor(panel.change),
        count=tensor(panel.count),
    )
