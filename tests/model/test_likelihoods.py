"""Likelihoods held against lifelines and SciPy, and what a record's order and padding must not change."""

import numpy as np
import pytest
import torch
from lifelines import PiecewiseExponentialFitter
from scipy.optimize import minimize
from scipy.special import log_expit

from residency.contract.packed import Packed
from residency.model import Model
from residency.model.heads import N_HEADS, HazardHead
from residency.model.inputs import Windows
from residency.model.objectives import HazardTargets, hazard_loss, label_loss
from residency.timeline import Timelines

EDGES = np.array([0.0, 2.0, 5.0, 12.0])
N = 400


def _followed(seed: int, causes: int) -> tuple[np.ndarray, np.ndarray]:
    """Give days until an event or censoring, and which cause it was; -1 for none."""
    rng = np.random.default_rng(seed)
    waits = rng.weibull(1.4, (causes + 1, N)) * np.array([6.0, *[9.0] * causes])[: causes + 1, None]
    first = waits.argmin(axis=0)
    days = np.minimum(waits.min(axis=0), 11.5)
    return days, np.where((first == 0) | (waits.min(axis=0) > 11.5), -1, first - 1)


def _truth(days: np.ndarray, cause: np.ndarray, n_targets: int) -> HazardTargets:
    spent = np.clip(days[:, None] - EDGES[:-1], 0.0, np.diff(EDGES))
    row = np.flatnonzero(cause >= 0)
    tensor = torch.from_numpy
    return HazardTargets(
        row=tensor(row),
        target=tensor(cause[row]),
        interval=tensor(np.searchsorted(EDGES, days[row], "left") - 1),
        first=torch.ones(len(row), dtype=torch.bool),
        columns=torch.arange(n_targets),
        column_weight=torch.ones(n_targets),
        days=tensor(np.repeat(spent[:, None], n_targets, axis=1).astype(np.float32)),
        weight=torch.ones(N, N_HEADS),
        never=torch.ones(N, n_targets, dtype=torch.bool),
    )


def _loss_of(log_rate: np.ndarray, truth: HazardTargets) -> tuple[float, np.ndarray]:
    """Give the loss of a head that says these log hazards of everybody, and its slope."""
    n_targets = len(truth.columns)
    head = HazardHead((2, 2), 1, torch.zeros(2, n_targets, 3))
    with torch.no_grad():
        head.code.zero_()
        head.bias[0] = torch.from_numpy(log_rate.reshape(n_targets, 3)).float()
    read = head.read(torch.zeros(N, 2), torch.zeros(N, 2))
    loss = hazard_loss(head, read, truth, torch.ones(2, n_targets))
    (slope,) = torch.autograd.grad(loss, head.bias)
    return float(loss.detach()), slope[0].reshape(-1).double().numpy()


@pytest.mark.filterwarnings("ignore")
def test_the_hazard_loss_is_lifelines_piecewise_exponential_likelihood() -> None:
    days, cause = _followed(0, causes=1)
    truth = _truth(days, cause, 1)
    fitted = PiecewiseExponentialFitter(EDGES[1:-1].tolist()).fit(days, cause >= 0)
    rates = 1.0 / fitted.params_.to_numpy()
    loss, slope = _loss_of(np.log(rates), truth)
    assert -loss * N == pytest.approx(fitted.log_likelihood_, rel=1e-4)
    assert slope == pytest.approx(np.zeros(3), abs=1e-4)


def test_the_best_hazards_of_competing_causes_are_events_over_days_of_each() -> None:
    days, cause = _followed(1, causes=2)
    truth = _truth(days, cause, 2)
    found = minimize(_loss_of, np.full(6, -2.0), args=(truth,), jac=True, method="L-BFGS-B")
    spent = np.clip(days[:, None] - EDGES[:-1], 0.0, np.diff(EDGES)).sum(axis=0)
    interval = np.searchsorted(EDGES, days, "left") - 1
    seen = [np.bincount(interval[cause == one], minlength=3) for one in range(2)]
    assert np.exp(found.x).reshape(2, 3) == pytest.approx(np.array(seen) / spent, rel=0.01)


def test_the_label_loss_is_scipys_bernoulli_likelihood() -> None:
    rng = np.random.default_rng(0)
    logits, value = rng.normal(size=(50, N_HEADS)).astype(np.float32), (rng.random(50) < 0.3) * 1.0
    weight = rng.poisson(1.0, (50, N_HEADS)).astype(np.float32)
    each = value[:, None] * log_expit(logits) + (1 - value[:, None]) * log_expit(-logits)
    said = label_loss(*(torch.from_numpy(a) for a in (logits, value.astype(np.float32), weight)))
    assert float(said) == pytest.approx(-float((each * weight).mean()), rel=1e-5)


def test_the_order_within_a_moment_changes_nothing(model: Model, data: Timelines) -> None:
    packed, rng = data.shards[0], np.random.default_rng(0)
    owner = np.repeat(np.arange(packed.n_moments), np.diff(packed.event_offset))
    order = np.lexsort((rng.random(packed.n_events), owner))
    assert (order != np.arange(packed.n_events)).any()
    names = ("event_code", "event_value", "event_time", "event_ref")
    shuffled = packed.with_arrays(**{name: np.asarray(getattr(packed, name))[order] for name in names})
    patients = np.arange(30)
    before, after = model.encode(packed, patients), model.encode(shuffled, patients)
    assert torch.allclose(before.z, after.z, atol=1e-5)
    assert torch.equal(before.record.panel.nan_to_num(-1.0), after.record.panel.nan_to_num(-1.0))


def test_padding_changes_nothing(model: Model, data: Timelines) -> None:
    """A short window read alone and beside a long one, whose length it is padded to."""
    packed = data.shards[0]
    length = np.diff(packed.moment_offset)
    short, long = int(length.argmin()), int(length.argmax())
    assert length[short] < length[long]
    alone = _read(model, packed, [short])
    beside = _read(model, packed, [short, long])
    assert torch.allclose(alone, beside[: len(alone)], atol=1e-5)


def _read(model: Model, packed: Packed, patients: list[int]) -> torch.Tensor:
    at = np.array(patients)
    windows = Windows(at, packed.moment_offset[at] + 1, packed.moment_offset[at + 1])
    _, inputs = model.reader.read(packed, windows)
    with torch.inference_mode():
        states: torch.Tensor = model.network(inputs)
    return states
