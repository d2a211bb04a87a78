"""In: the tensors of a batch. Out: what stands in the record at each row: last values, last attachments."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from residency.model.inputs import Inputs
from residency.model.moments import (
    clock_numbers,
    n_panel_features,
    n_panel_numbers,
    panel_features,
    panel_numbers,
)


@dataclass(frozen=True)
class Latest:
    """The last attachment of one kind that each row knows.

    Attributes:
        vector: of the attachments of each row that has some, their mean; the first stands for "none".
        at: which of them each row knows; 0 for none.
    """

    vector: Float32[Tensor, "group width"]
    at: Int64[Tensor, " row"]


@dataclass(frozen=True)
class Standing:
    """What stands in the record at each row.

    Attributes:
        panel: last value's rank, hours since, change and count of each code of the panel.
        clock: hours since the moment before, hours since the first, years of age (NaN unknown).
        latest: last note, image and genome, by kind.
        n_valued: codes of the panel with values; the others have neither rank nor change.
    """

    panel: Float32[Tensor, "row 4 panel"]
    clock: Float32[Tensor, "row 3"]
    latest: dict[str, Latest]
    n_valued: int

    def take(self, row: Int64[Tensor, " chosen"]) -> "Standing":
        """Give the record at some rows."""
        latest = {kind: Latest(one.vector, one.at[row]) for kind, one in self.latest.items()}
        return Standing(self.panel[row], self.clock[row], latest, self.n_valued)

    def features(
        self, row: Int64[Tensor, " chosen"], hours: Float32[Tensor, " chosen"]
    ) -> Float32[Tensor, "chosen feature"]:
        """Spread the record of some rows over knots, with the last attachments beside.

        Args:
            row: the last moment known.
            hours: since then, by which everything is older now.
        """
        return torch.cat([self._chart(panel_features, row, hours), *self._last(row)], dim=1)

    def numbers(
        self, row: Int64[Tensor, " chosen"], hours: Float32[Tensor, " chosen"]
    ) -> Float32[Tensor, "chosen number"]:
        """Give the features, before them the ranks as plain numbers, and before these the clock.

        The clock is for the taught codes. All hazards read the rest, as moments do: of few patients plain
        numbers are learnt before knots. Labels, one an hour of every patient, need them at no size; what they
        take from them does not travel (LOG).
        """
        clock = clock_numbers(later(self.clock[row], hours))
        return torch.cat([clock, self._chart(panel_numbers, row, hours), *self._last(row)], dim=1)

    def _chart(
        self,
        spread: Callable[..., Tensor],
        row: Int64[Tensor, " chosen"],
        hours: Float32[Tensor, " chosen"],
    ) -> Float32[Tensor, "chosen number"]:
        rank, ago, change, count = self.panel[row].unbind(1)
        rank, change = rank[:, : self.n_valued], change[:, : self.n_valued]
        return spread(rank, ago + hours[:, None], change, count)

    def _last(self, row: Int64[Tensor, " chosen"]) -> list[Float32[Tensor, "chosen _"]]:
        parts = []
        for kind in sorted(self.latest):
            one = self.latest[kind]
            parts += [one.vector[one.at[row]], (one.at[row] > 0).float()[:, None]]
        return parts


def later(clock: Float32[Tensor, "row 3"], hours: Float32[Tensor, " row"]) -> Float32[Tensor, "row 3"]:
    """Give the clock so many hours later."""
    return clock + hours[:, None] / clock.new_tensor([1.0, 1.0, 8766.0])


def n_features(panel: tuple[int, int], modalities: dict[str, int]) -> int:
    """Give how many numbers `Standing.features` has, of a panel with so many codes, so many with values."""
    return n_panel_features(*panel) + _n_latest(modalities)


def n_numbers(panel: tuple[int, int], modalities: dict[str, int]) -> int:
    """Give how many numbers `Standing.numbers` has, the clock not counted."""
    return n_panel_numbers(*panel) + _n_latest(modalities)


def _n_latest(modalities: dict[str, int]) -> int:
    return sum(width + 1 for width in modalities.values())


def standing_of(inputs: Inputs, modalities: dict[str, int]) -> Standing:
    """Give what stands in the record at each row of a batch.

    Args:
        inputs: of the batch.
        modalities: width of each kind of attachment's vectors, also of those that the batch lacks.
    """
    n_valued = inputs.rank.shape[1]
    panel = inputs.hours.new_full((len(inputs.hours), 4, inputs.hours.shape[1]), float("nan"))
    panel[:, 0, :n_valued], panel[:, 1], panel[:, 3] = inputs.rank, inputs.hours, inputs.count
    panel[:, 2, :n_valued] = inputs.change
    latest = {kind: _latest(inputs, kind, width) for kind, width in modalities.items()}
    return Standing(panel, inputs.clock, latest, n_valued)


def _latest(inputs: Inputs, kind: str, width: int) -> Latest:
    """Give the mean of what each moment holds of a kind, and which each row knows last."""
    attached = inputs.attached.get(kind)
    if attached is None or not len(attached.vector):
        return Latest(inputs.rank.new_zeros(1, width), torch.zeros_like(inputs.place))
    size = torch.bincount(attached.group + 1).clamp(min=1)
    total = inputs.rank.new_zeros(len(size), width).index_add(0, attached.group + 1, attached.vector)
    return Latest(total / size[:, None], attached.latest + 1)


def gathered(parts: Sequence[tuple[Int64[Tensor, " _"], Standing]], n_rows: int) -> Standing:
    """Put the records of several batches together, each at its rows."""
    if not parts:
        return Standing(torch.zeros(0, 4, 0), torch.zeros(0, 3), {}, 0)
    panel, clock = torch.empty(n_rows, *parts[0][1].panel.shape[1:]), torch.empty(n_rows, 3)
    at = {kind: torch.zeros(n_rows, dtype=torch.int64) for kind in parts[0][1].latest}
    vectors: dict[str, list[Tensor]] = {kind: [] for kind in at}
    for rows, one in parts:
        panel[rows], clock[rows] = one.panel, one.clock
        for kind, latest in one.latest.items():
            begin = sum(len(vector) for vector in vectors[kind])
            at[kind][rows] = torch.where(latest.at > 0, latest.at + begin, 0)
            vectors[kind].append(latest.vector)
    joined = {kind: Latest(torch.cat(vectors[kind]), at[kind]) for kind in at}
    return Standing(panel, clock, joined, parts[0][1].n_valued)
