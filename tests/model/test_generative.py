"""The generative head: a likelihood of times, sets of codes and values, that leaves the trunk alone."""

from itertools import combinations

import numpy as np
import pytest
import torch
from lifelines import PiecewiseExponentialFitter
from scipy.special import log_softmax

from residency.contract.packed import Packed
from residency.model import Model
from residency.model.generative import CLASSES, VALUE_BINS, Coming, FutureHead, Results
from residency.model.moments import PLAIN_NUMBERS, SEEN_FEATURES, VALUE_FEATURES
from residency.model.objectives import future_loss
from residency.timeline import Timelines, take, until

WIDTH, ROUTINE, VALUED, EDGES = 6, 4, 3, np.array([0.0, 2.0, 5.0, 12.0])


@pytest.fixture
def head() -> FutureHead:
    torch.manual_seed(0)
    made = FutureHead(WIDTH, VALUED, torch.zeros(3), torch.randn(ROUTINE), torch.randn(ROUTINE, ROUTINE))
    for part in made.what.values():
        torch.nn.init.normal_(part, std=0.5)
    return made


def none_measured() -> Results:
    nothing = torch.zeros(0, dtype=torch.int64)
    return Results(nothing, torch.zeros(0), nothing, nothing, nothing)


def came_at(days: np.ndarray, seen: np.ndarray, n_routine: int = ROUTINE) -> Coming:
    spent = np.clip(days[:, None] - EDGES[:-1], 0.0, np.diff(EDGES)).astype(np.float32)
    at = np.flatnonzero(seen)
    return Coming(
        at=torch.from_numpy(at),
        interval=torch.from_numpy(np.searchsorted(EDGES, days[at], "left") - 1),
        days=torch.from_numpy(spent),
        hours=torch.from_numpy((days[at] * 24).astype(np.float32)),
        present=torch.ones(len(at), n_routine, dtype=torch.bool),
        lead=torch.zeros(len(at), dtype=torch.int64),
        measured=none_measured(),
    )


def test_the_chances_of_all_sets_of_codes_add_up_to_one(head: FutureHead) -> None:
    head.requires_grad_(False)
    z, hours = torch.randn(1, WIDTH), torch.tensor([3.0])
    lead = torch.log_softmax(head.lead(z, hours), dim=1)[0]
    total = 0.0
    for size in range(1, ROUTINE + 1):
        for chosen in combinations(range(ROUTINE), size):
            top = max(chosen)
            logits = head.company(z, hours, torch.tensor([top]))[0]
            present = torch.tensor([one in chosen for one in range(ROUTINE)])
            each = torch.where(present, torch.sigmoid(logits), torch.sigmoid(-logits))
            total += float(lead[top].exp() * each[:top].prod())
    assert total == pytest.approx(1.0, abs=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_times_of_routine_moments_have_lifelines_piecewise_exponential_likelihood() -> None:
    rng = np.random.default_rng(0)
    waits = np.minimum(rng.weibull(1.4, 300) * 6.0, 11.5)
    seen = waits < 11.5
    fitted = PiecewiseExponentialFitter(EDGES[1:-1].tolist()).fit(waits, seen)
    log_rate = torch.from_numpy(-np.log(fitted.params_.to_numpy())).float()
    head = FutureHead(WIDTH, 0, log_rate, torch.zeros(1), torch.zeros(1, 1))
    loss = future_loss(head, torch.zeros(300, WIDTH), torch.zeros(300, 4, 2), came_at(waits, seen, 1))
    (slope,) = torch.autograd.grad(loss, head.bias["when"])
    assert -300 * float(loss.detach()) == pytest.approx(fitted.log_likelihood_, rel=1e-4)
    assert slope.numpy() == pytest.approx(np.zeros(3), abs=1e-4)


def test_the_loss_of_values_is_scipys_cross_entropy(head: FutureHead) -> None:
    rng = np.random.default_rng(1)
    z, panel = torch.randn(5, WIDTH), torch.rand(5, 4, 2)
    what = rng.integers(0, CLASSES, 40)
    tensor = torch.from_numpy
    asked = Results(
        row=tensor(rng.integers(0, 5, 40)),
        hours=torch.rand(40),
        code=tensor(rng.integers(0, VALUED, 40)),
        slot=tensor(rng.integers(-1, 2, 40)),
        what=tensor(what),
    )
    nothing = came_at(np.full(5, 0.0), np.zeros(5, bool))
    said = float(future_loss(head, z, panel, Coming(**{**vars(nothing), "measured": asked})).detach())
    logits = head.values(z, panel, asked).detach().numpy()
    by_hand = -log_softmax(logits.astype(np.float64), axis=1)[np.arange(40), what].mean()
    assert said == pytest.approx(by_hand, rel=1e-5)
    assert head.value.up.in_features == WIDTH + 14 + 16 + PLAIN_NUMBERS + SEEN_FEATURES + VALUE_FEATURES


def test_nothing_of_the_generative_loss_reaches_the_trunk(head: FutureHead) -> None:
    z = torch.randn(20, WIDTH, requires_grad=True)
    came = came_at(np.linspace(0.5, 11.0, 20), np.ones(20, bool))
    future_loss(head, z, torch.rand(20, 4, 2), came).backward()
    assert z.grad is None
    assert all(part.grad is not None for part in (head.bias["when"], head.what["lead"], head.when.up.weight))


def _measured(model: Model, packed: Packed, elapsed: float = 0.5) -> np.ndarray:
    states = model.encode(packed)
    last = states.offset[1:] - 1
    found = model.measured(states, last, np.full(len(last), elapsed, np.float32), "LOINC/2160-0")
    assert found is not None
    return found.share


def test_a_result_if_measured_hangs_on_the_past_of_its_patient_alone(model: Model, data: Timelines) -> None:
    packed = take(data.shards[0], np.arange(20))
    share = _measured(model, packed)
    assert share.shape == (20, VALUE_BINS)
    assert share.sum(axis=1) == pytest.approx(np.ones(20), abs=1e-5)
    assert _measured(model, take(packed, np.array([7, 3]))) == pytest.approx(share[[7, 3]], abs=1e-5)
    as_of = np.array([packed.moment_time[packed.moment_offset[p] + 1] for p in range(20)])
    cut = until(packed, as_of)
    owner = np.repeat(np.arange(packed.n_moments), np.diff(packed.event_offset))
    late = packed.moment_time > np.repeat(as_of, np.diff(packed.moment_offset))
    changed = np.where(late[owner], 99.0, packed.event_value).astype(np.float32)
    again = until(packed.with_arrays(event_value=changed), as_of)
    assert np.array_equal(_measured(model, cut), _measured(model, again))


def test_a_result_is_expected_where_it_is_seen(model: Model, data: Timelines) -> None:
    """The ill have values around 3, the others around 1."""
    packed = data.shards[0]
    states = model.encode(packed)
    last = states.offset[1:] - 1
    found = model.measured(states, last, np.zeros(len(last), np.float32), "LOINC/2160-0")
    assert found is not None
    assert (np.diff(found.edges) >= 0).all()
    high = found.above(2.0)
    ill = packed.label_value[packed.label_offset[:-1]] == 1
    assert high[ill].mean() > 0.75
    assert high[~ill].mean() < 0.25
    assert (found.above(1.0) >= high).all()
    assert found.above(-1e9) == pytest.approx(np.ones(len(last)), abs=1e-5)
    assert (found.quantile(0.9) >= found.quantile(0.5)).all()


def test_a_code_without_values_has_no_distribution(model: Model, data: Timelines) -> None:
    states = model.encode(data.shards[0], np.arange(2))
    last = states.offset[1:] - 1
    for code in ("VISIT/AMB", "LOINC/0000-0"):
        assert model.measured(states, last, np.zeros(2, np.float32), code) is None
