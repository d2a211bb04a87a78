"""In: what the heads say and what followed. Out: losses, one number each, fit to be added."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64, UInt64
from torch import Tensor
from torch.nn import functional

from residency.model.generative import Coming, FutureHead
from residency.model.heads import N_HEADS, Cells, HazardHead, Read


@dataclass(frozen=True)
class Sampled:
    """Targets whose exposure is worked out, and how much each stands for.

    Attributes:
        target: chosen targets.
        weight: one over the chance of being chosen.
    """

    target: Int64[np.ndarray, " column"]
    weight: Float32[np.ndarray, " column"]


def sample(rate: Float32[np.ndarray, " target"], n_wanted: int, rng: np.random.Generator) -> Sampled:
    """Choose about `n_wanted` targets, the frequent ones more likely; all where there are few.

    Args:
        rate: how much each target adds to the loss, about.
        n_wanted: how many.
        rng: for the choice.
    """
    if len(rate) <= n_wanted:
        return Sampled(np.arange(len(rate)), np.ones(len(rate), np.float32))
    # half of the chance even, half by rate: no weight passes 2 * targets / wanted
    share = 0.5 / len(rate) + 0.5 * rate.astype(np.float64) / rate.sum()
    chance = np.minimum(n_wanted * share, 1.0)
    chosen = np.flatnonzero(rng.random(len(rate)) < chance)
    return Sampled(chosen, (1.0 / chance[chosen]).astype(np.float32))


@dataclass(frozen=True)
class Told:
    """What a teacher says came of some targets' first records at instants of a batch.

    Attributes:
        row: the last moment known.
        hours: since then.
        days: at risk, by interval; 0 for who had the target.
        came: first records, softened: expected ones among them.
        weight: of each instant for each head.
        target: the targets.
        scale: how much each counts.
    """

    row: Int64[Tensor, " instant"]
    hours: Float32[Tensor, " instant"]
    days: Float32[Tensor, "instant taught interval"]
    came: Float32[Tensor, "instant taught interval"]
    weight: Float32[Tensor, "instant head"]
    target: Int64[Tensor, " taught"]
    scale: Float32[Tensor, " taught"]

    def take(self, chosen: Int64[Tensor, " chosen"]) -> "Told":
        """Give some instants."""
        each = {name: getattr(self, name)[chosen] for name in ("row", "hours", "days", "came", "weight")}
        return replace(self, **each)


@dataclass(frozen=True)
class HazardTargets:
    """What followed the index rows, as tensors.

    Attributes:
        row: index row of each next occurrence, with its target and interval, and whether it was the first.
        columns: targets whose exposure is worked out, with their weights.
        days: exposure in each interval.
        weight: of each index row for each head.
        never: whether the patient had not had each of `columns` by each index row.
    """

    row: Int64[Tensor, " next"]
    target: Int64[Tensor, " next"]
    interval: Int64[Tensor, " next"]
    first: Bool[Tensor, " next"]
    columns: Int64[Tensor, " column"]
    column_weight: Float32[Tensor, " column"]
    days: Float32[Tensor, "index column interval"]
    weight: Float32[Tensor, "index head"]
    never: Bool[Tensor, "index column"]

    @property
    def cells(self) -> Cells:
        """Where the next occurrences came."""
        return Cells(self.row, self.target, self.interval, self.first)


def hazard_loss(
    head: HazardHead,
    read: Read,
    truth: HazardTargets,
    scale: Float32[Tensor, "class target"],
) -> Float32[Tensor, ""]:
    """Negative log-likelihood of piecewise-constant hazards, a mean over heads and index rows.

    Event terms are exact; the exposure of sampled targets stands for all: on average it is the dense loss.
    Targets, first and later, have parameters of their own: `scale` weighs them and moves nobody's hazards.
    """
    log_rate = head.cells(read, truth.cells)
    worth = scale[1 - truth.first.long(), truth.target]
    events = (log_rate * truth.weight[truth.row] * worth[:, None]).sum()
    first, again = scale[:, truth.columns]
    weight = torch.where(truth.never, first, again) * truth.column_weight
    due = truth.days * weight[..., None]
    spent = head.expected(read, truth.columns, truth.never, due, truth.weight)
    return (spent - events) / (N_HEADS * max(len(truth.weight), 1))


def foretold_loss(
    log_rate: Float32[Tensor, "instant head taught interval"], told: Told
) -> Float32[Tensor, ""]:
    """Negative log-likelihood of first records as a teacher softens them, a mean over heads and instants."""
    days, came = told.days[:, None], told.came[:, None]
    each = (log_rate.exp() * days - came * log_rate).sum(dim=3)
    return torch.einsum("iht,t,ih->", each, told.scale, told.weight) / (N_HEADS * max(len(log_rate), 1))


def label_loss(
    logits: Float32[Tensor, "label head"],
    value: Float32[Tensor, " label"],
    weight: Float32[Tensor, "label head"],
) -> Float32[Tensor, ""]:
    """Binary cross-entropy, a mean over heads and labels."""
    each = functional.binary_cross_entropy_with_logits(
        logits, value[:, None].expand_as(logits), weight=weight, reduction="sum"
    )
    return each / (N_HEADS * max(len(value), 1))


def next_loss(
    said: tuple[Tensor, Tensor], present: Float32[Tensor, "row panel"], rank: Float32[Tensor, "row valued"]
) -> Float32[Tensor, ""]:
    """Cross-entropy of which codes come at the next moment, and squared error of their ranks."""
    logits, guess = said
    presence = functional.binary_cross_entropy_with_logits(logits, present)
    valued = (~torch.isnan(rank)).float()
    error = ((guess - torch.nan_to_num(rank)) ** 2 * valued).sum() / valued.sum().clamp(min=1.0)
    return presence + 4.0 * error


def future_loss(
    head: FutureHead,
    z: Float32[Tensor, "index width"],
    panel: Float32[Tensor, "index 4 panel"],
    came: Coming,
) -> Float32[Tensor, ""]:
    """Negative log-likelihood of the next routine moment, its time and codes, and of the next results.

    States and record are looked at as they are: nothing of it reaches the trunk.
    """
    z, panel = z.detach(), panel.detach()
    last = came.days.shape[1] - 1
    log_rate = head.log_rate(z)
    reached = log_rate[came.at, came.interval.clamp(max=last)] * (came.interval <= last)
    when = (log_rate.exp() * came.days).sum() - reached.sum()
    at = z[came.at]
    lead = functional.cross_entropy(head.lead(at, came.hours), came.lead, reduction="sum")
    logits = head.company(at, came.hours, came.lead)
    commoner = torch.isfinite(logits)
    each = functional.binary_cross_entropy_with_logits(
        logits.masked_fill(~commoner, 0.0), came.present.float(), commoner.float(), reduction="sum"
    )
    values = functional.cross_entropy(
        head.values(z, panel, came.measured), came.measured.what, reduction="sum"
    )
    n_moments, n_results = max(len(came.at), 1), max(len(came.measured.row), 1)
    return when / max(len(z), 1) + (lead + each) / n_moments + values / n_results


def bootstrap(subject: Int64[np.ndarray, " patient"], seed: int) -> Float32[np.ndarray, "patient head"]:
    """Give each patient's Poisson(1) weight for each head: the bootstrap, by a hash of the patient.

    Example:
        >>> bootstrap(np.array([7, 7]), seed=0).std(axis=0).tolist()
        [0.0, 0.0, 0.0, 0.0, 0.0]
    """
    with np.errstate(over="ignore"):
        key = subject.astype(np.uint64)[:, None] + np.uint64(0x9E3779B97F4A7C15) * (
            np.uint64(seed * N_HEADS + 1) + np.arange(N_HEADS, dtype=np.uint64)
        )
    uniform = _mix(key) / 2.0**64
    steps = np.cumsum(np.exp(-1.0) / np.array([1, 1, 2, 6, 24, 120, 720, 5040], np.float64))
    return np.searchsorted(steps, uniform).astype(np.float32)


def _mix(key: UInt64[np.ndarray, "..."]) -> UInt64[np.ndarray, "..."]:
    """SplitMix64 (Steele, Lea and Flood, 2014)."""
    with np.errstate(over="ignore"):
        key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = key ^ (key >> np.uint64(31))
    return mixed
