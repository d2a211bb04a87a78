"""In: a frozen model, timelines, a plan, and who is to be answered. Out: risks with their intervals."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from jaxtyping import Bool, Float32, Int8, Int64
from scipy.stats import t as student

from residency.contract.packed import Packed
from residency.model import Model, States, values_inside
from residency.reasoning.abstaining import ANSWERED
from residency.reasoning.incidence import cumulative_incidence, incidence_inside
from residency.reasoning.index import Index, Place
from residency.reasoning.plan import Part, Plan
from residency.reasoning.views import View

INTERVAL: Final = 0.90
_MOMENTS_AT_ONCE: Final = 250_000
_NUMBERS_AT_ONCE: Final = 12_000_000  # hazards worked on at once: 48 MB


def bounds_of(
    model: Model, view: View, plan: Plan, index: Index, found: tuple[Place, Int8[np.ndarray, "index column"]]
) -> Float32[np.ndarray, "3 index column"]:
    """Give risk, low and high where something is to be answered."""
    at, reason = found
    bounds = np.full((3, *reason.shape), np.nan, dtype=np.float32)
    for rows in _chunks(view.packed, index, np.flatnonzero((reason == ANSWERED).any(axis=1))):
        bounds[:, rows] = _work_out(model, view, plan, index.take(rows), at.take(rows))
    return bounds


def _chunks(
    packed: Packed, index: Index, rows: Int64[np.ndarray, " row"]
) -> Iterator[Int64[np.ndarray, " row"]]:
    """Give rows in parts that hold whole patients, of about as many moments."""
    if not len(rows):
        return
    ordered = rows[np.argsort(index.patient[rows], kind="stable")]
    patient = index.patient[ordered]
    starts = np.flatnonzero(np.concatenate(([True], patient[1:] != patient[:-1])))
    moments = np.cumsum(np.diff(packed.moment_offset)[patient[starts]])
    part = (moments - 1) // _MOMENTS_AT_ONCE
    cuts = starts[1:][part[1:] != part[:-1]]
    yield from np.split(ordered, cuts)


def _work_out(
    model: Model, view: View, plan: Plan, index: Index, at: Place
) -> Float32[np.ndarray, "3 index column"]:
    """Give risk, low and high, of patients who are few enough to be read at once."""
    patients, local = np.unique(index.patient, return_inverse=True)
    if len(patients) == len(index):  # each at one time: a bedside, a panel
        states = model.encode_at(view.packed, index.patient, at.moment, encoded=view.encoded)
        moment = np.arange(len(index))
    else:
        states = model.encode(view.packed, patients, encoded=view.encoded)
        moment = states.offset[local] + at.moment - view.packed.moment_offset[index.patient]
    result = np.empty((3, len(index), len(plan.columns)), dtype=np.float32)
    targets = model.bounds.with_above(plan.targets)
    numbers = model.n_heads * (len(model.edges_days) - 1) * max(len(targets), 1)
    n_parts = -(-len(index) * numbers // _NUMBERS_AT_ONCE)
    for rows in np.array_split(np.arange(len(index)), n_parts):
        never = model.never(view.packed, index.patient[rows], index.as_of[rows], targets)
        by_head = _by_head(model, states, plan, (moment[rows], at.elapsed_days[rows]), (targets, never))
        for part in plan.parts:
            result[:, rows, part.columns] = summary(by_head[:, :, part.columns], interval=part.interval)
    return result


def _by_head(
    model: Model,
    states: States,
    plan: Plan,
    instant: tuple[Int64[np.ndarray, " index"], Float32[np.ndarray, " index"]],
    asked: tuple[Int64[np.ndarray, " target"], Bool[np.ndarray, "index target"]],
) -> Float32[np.ndarray, "index head column"]:
    """Give the risk that each head sees; NaN in columns that the model has nothing for."""
    (moment, elapsed_days), (targets, never) = instant, asked
    result = np.full((len(moment), model.n_heads, len(plan.columns)), np.nan, dtype=np.float32)
    hazards = model.hazards(states, moment, elapsed_days, targets, never) if len(targets) else None
    for part in plan.parts:
        if part.label is not None:
            risk = model.label_probability(states, moment, elapsed_days, part.label)
            result[:, :, part.columns] = risk[:, :, None]
        elif part.answerable and hazards is not None:
            inside = None
            if part.values is not None:
                found = values_inside(model, states, moment, elapsed_days, part.values)
                inside = found.first, found.later
            result[:, :, part.columns] = _incidence(model, part, (targets, hazards), inside)
    return result


def _incidence(
    model: Model,
    part: Part,
    said: tuple[Int64[np.ndarray, " target"], Float32[np.ndarray, "index head target interval"]],
    inside: tuple[np.ndarray, np.ndarray] | None,
) -> Float32[np.ndarray, "index head horizon"]:
    """Give the cumulative incidence of one outcome, with death and what ends its window competing."""
    assert part.cause is not None and part.rivals is not None  # noqa: S101, PT018 - it is of codes
    targets, hazards = said
    column = {int(target): number for number, target in enumerate(targets)}
    shared = model.moments_shared[targets]
    hazard = part.cause.hazard(hazards, column, shared)
    competing = part.rivals.hazard(hazards, column, shared) if part.rivals.nodes else np.zeros_like(hazard)
    edges, horizons = (np.array(days, dtype=np.float64) for days in (model.edges_days, part.horizons_days))
    if inside is None:
        return cumulative_incidence(hazard, competing, edges, horizons)
    first, later = (np.broadcast_to(one[:, None], hazard.shape) for one in inside)
    return incidence_inside(hazard, (first, later), competing, edges, horizons)


def summary(
    by_head: Float32[np.ndarray, "index head horizon"], *, interval: bool
) -> Float32[np.ndarray, "3 index horizon"]:
    """Give the mean of the heads, and a 90% interval from their spread.

    The heads are fitted to bootstrap samples of patients, so their spread on the log-odds scale estimates the
    standard error of a fit; for so few heads the quantile is Student's t. Bounds never fall with the horizon.
    """
    mean = by_head.mean(axis=1)
    if not interval or by_head.shape[1] < 2:
        nothing = np.full_like(mean, np.nan)
        return np.stack([mean, nothing, nothing])
    inside = np.clip(by_head, 1e-7, 1 - 1e-7)
    log_odds = np.log(inside / (1 - inside))
    reach = student.ppf((1 + INTERVAL) / 2, by_head.shape[1] - 1) * log_odds.std(axis=1, ddof=1)
    centre = np.log(np.clip(mean, 1e-7, 1 - 1e-7) / (1 - np.clip(mean, 1e-7, 1 - 1e-7)))
    low, high = 1 / (1 + np.exp(reach - centre)), 1 / (1 + np.exp(-reach - centre))
    low = np.minimum(np.maximum.accumulate(low, axis=1), mean)
    high = np.maximum(np.maximum.accumulate(high, axis=1), mean)
    return np.stack([mean, low, high]).astype(np.float32)
