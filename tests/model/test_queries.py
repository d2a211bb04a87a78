"""Sets and later results: coherent by construction, likelihoods held against SciPy, truths by brute force."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import expon

from residency.contract.packed import DAY
from residency.model import Model, Range, values_inside
from residency.model.batches import plan
from residency.model.calibration import Calibration
from residency.model.fitting import Setup, losses, network_of, setup
from residency.model.generative import CLASSES, VALUE_BINS, Results
from residency.model.inputs import whole
from residency.model.instants import after_moments
from residency.model.marginals import marginals
from residency.model.outcomes import Targets, follow
from residency.model.queries import KINDS, Later, QueryHead, Sets, joined, later_loss, set_loss
from residency.model.querying import bins_of, sets_of
from residency.model.spec import ModelSpec
from residency.timeline import Timelines, take

SPEC = ModelSpec(size="tiny", context=16, min_patients=10, threads=1, passes=1)
N, WIDTH = 500, 4
EDGES = np.array([0.0, 3.0, 10.0])
LAB = "LOINC/2160-0"


def head_of(n_targets: int, n_valued: int = 1, log_rate: float = -2.0) -> QueryHead:
    torch.manual_seed(0)
    return QueryHead(WIDTH, n_targets, torch.full((n_valued, 2), log_rate))


@given(seed=st.integers(0, 10_000), n=st.integers(2, 6))
@settings(max_examples=40, deadline=None)
def test_a_set_lies_between_its_greatest_and_its_sum_and_rises_with_what_is_added(seed: int, n: int) -> None:
    torch.manual_seed(seed)
    hazard, kinds = torch.rand(3, n, 2) ** 4, torch.softmax(3 * torch.randn(n, 1 + KINDS), dim=1)
    whole, part = joined(hazard, kinds), joined(hazard[:, :-1], kinds[:-1])
    assert (whole >= part - 1e-6).all()
    assert (whole >= hazard.amax(dim=1) - 1e-6).all()
    assert (whole <= hazard.sum(dim=1) + 1e-6).all()
    assert torch.allclose(joined(hazard[:, :1], kinds[:1]), hazard[:, 0], atol=1e-6)


def sets_from(waits: np.ndarray, member: list[list[int]]) -> Sets:
    """Give truth of sets out of waits [row, target], all judged, followed for ten days."""
    soonest = waits[:, member].min(axis=2)
    spent = np.clip(np.minimum(soonest, EDGES[-1])[..., None] - EDGES[:-1], 0.0, np.diff(EDGES))
    return Sets(
        target=torch.arange(waits.shape[1]),
        member=torch.tensor(member),
        never=torch.ones(waits.shape, dtype=torch.bool),
        interval=torch.from_numpy(np.searchsorted(EDGES[1:], soonest, "left")),
        days=torch.from_numpy(spent.astype(np.float32)),
        judged=torch.ones(soonest.shape, dtype=torch.bool),
    )


def test_the_loss_of_sets_is_scipys_exponential_likelihood() -> None:
    rng, rate = np.random.default_rng(0), np.array([0.1, 0.3, 0.05])
    waits, head = rng.exponential(1 / rate, (N, 3)), head_of(3)
    said = torch.from_numpy(np.repeat(rate[None, :, None], 2, axis=2).repeat(N, axis=0)).float()
    loss = set_loss(head, said, sets_from(waits, [[0, 1], [1, 2]]))
    kinds = head.kinds(torch.arange(3)).detach().double().numpy()
    by_hand = []
    for one, other in ((0, 1), (1, 2)):
        a, b = rate[one] * kinds[one], rate[other] * kinds[other]
        total = a[0] + b[0] + np.maximum(a[1:], b[1:]).sum()
        soonest = waits[:, [one, other]].min(axis=1)
        law = expon(scale=1 / total)
        by_hand.append(np.where(soonest <= 10, law.logpdf(soonest), law.logsf(10.0)))
    assert float(loss.detach()) == pytest.approx(-np.mean(by_hand), rel=1e-4)


def asked(n: int, n_valued: int = 1) -> Results:
    return Results(
        row=torch.arange(n),
        hours=torch.zeros(n),
        code=torch.arange(n) % n_valued,
        slot=torch.full((n,), -1),
        what=torch.zeros(n, dtype=torch.int64),
    )


def later_from(begin: np.ndarray, wait: np.ndarray, within: np.ndarray) -> Later:
    low, high = begin[:, None] - EDGES[:-1], np.minimum(wait, 10.0)[:, None] - EDGES[:-1]
    spent = np.clip(high, 0.0, np.diff(EDGES)) - np.clip(low, 0.0, np.diff(EDGES))
    return Later(
        asked=asked(len(wait)),
        inside=torch.from_numpy(within),
        interval=torch.from_numpy(np.searchsorted(EDGES[1:], wait, "left")),
        days=torch.from_numpy(spent.astype(np.float32)),
    )


def test_the_loss_of_later_results_is_scipys_exponential_likelihood() -> None:
    rng, head = np.random.default_rng(1), head_of(1)
    begin = rng.random(N) * 5
    wait = begin + rng.exponential(4.0, N)
    within = rng.random((N, VALUE_BINS)) < 0.5
    z, panel = torch.zeros(N, WIDTH), torch.full((N, 4, 1), torch.nan)
    said = float(later_loss(head, z, panel, later_from(begin, wait, within)).detach())
    log_rate, log_share = (part.detach().double().numpy() for part in head.after(z, panel, asked(N)))
    rate = np.exp(log_rate) * (np.exp(log_share) * within).sum(axis=1, keepdims=True)
    first = np.clip(np.minimum(wait, 10.0) - begin, 0.0, np.clip(3.0 - begin, 0.0, None))
    rest = np.minimum(wait, 10.0) - begin - first
    came = np.where(wait <= 10.0, np.log(rate[np.arange(N), (wait > 3.0) * 1]), 0.0)
    early, late = (expon.logsf(x, scale=1 / r) for x, r in ((first, rate[:, 0]), (rest, rate[:, 1])))
    assert said == pytest.approx(-(came + early + late).mean(), rel=1e-4)


def test_codes_that_always_come_together_are_learned_to_and_others_to_come_apart() -> None:
    rng = np.random.default_rng(2)
    waits, head = rng.exponential(5.0, (N, 3)), head_of(3)
    waits[:, 1] = waits[:, 0]
    truth = sets_from(waits, [[0, 1], [0, 2], [1, 2]])
    said = torch.full((N, 3, 2), 0.2)
    learner = torch.optim.Adam(head.parameters(), lr=8e-3)
    for _ in range(70):
        learner.zero_grad()
        set_loss(head, said, truth).backward()
        learner.step()
    kinds = head.kinds(torch.arange(3)).detach()
    pair = {(a, b): float(joined(said[:1, [a, b]], kinds[[a, b]])[0, 0]) for a, b in ((0, 1), (0, 2), (1, 2))}
    assert pair[0, 1] == pytest.approx(0.2, abs=0.03)
    assert pair[0, 2] == pytest.approx(0.4, abs=0.04)
    assert pair[1, 2] == pytest.approx(0.4, abs=0.04)


def test_how_fast_and_where_later_results_come_is_learned() -> None:
    """Results come once in four days; a quarter of them lies in the four highest bins."""
    rng, head = np.random.default_rng(3), head_of(1, log_rate=-4.0)
    share = np.repeat([0.75 / 12, 0.25 / 4], [12, 4])
    high = np.arange(VALUE_BINS) >= 12
    begin, up = rng.random(1500) * 2, rng.random(1500) < 0.5
    within = np.where(up[:, None], high, ~high)
    wait = begin + rng.exponential(4.0 / (within * share).sum(axis=1))
    z, panel = torch.zeros(1500, WIDTH), torch.full((1500, 4, 1), torch.nan)
    learner = torch.optim.Adam(head.parameters(), lr=2e-2)
    truth = later_from(begin, wait, within)
    for _ in range(90):
        learner.zero_grad()
        later_loss(head, z, panel, truth).backward()
        learner.step()
    log_rate, log_share = head.after(z[:1], panel[:1], asked(1))
    assert log_rate.exp().detach().numpy()[0] == pytest.approx([0.25, 0.25], rel=0.15)
    assert float((log_share.exp()[0] * torch.from_numpy(high)).sum().detach()) == pytest.approx(
        0.25, abs=0.03
    )


@pytest.fixture(scope="module")
def given_setup(data: Timelines) -> Setup:
    return setup(data, SPEC, marginals(data, SPEC))


def test_nothing_of_the_loss_of_queries_reaches_another_part(data: Timelines, given_setup: Setup) -> None:
    network, piece = network_of(given_setup), plan(data, "train", SPEC, None)[0]
    batch = given_setup.collator.collate(data.shards[0], piece, np.random.default_rng(0), drop=True)
    losses(network, given_setup, batch)["query"].backward()
    touched = {name for name, p in network.named_parameters() if p.grad is not None}
    assert touched
    assert all(name.startswith("query.") for name in touched)


def test_what_is_drawn_for_queries_moves_no_other_draw(data: Timelines, given_setup: Setup) -> None:
    piece = plan(data, "train", SPEC, None)[0]
    bare = dataclasses.replace(given_setup.collator, watch=None)
    one, other = (
        made.collate(data.shards[0], piece, np.random.default_rng(0), drop=True)
        for made in (given_setup.collator, bare)
    )
    assert torch.equal(one.index_hours, other.index_hours)
    assert torch.equal(one.hazard.days, other.hazard.days)


def drawn_sets(data: Timelines, given_setup: Setup, seed: int) -> tuple[Sets, Targets]:
    rng, targets = np.random.default_rng(seed), given_setup.marginals.targets
    packed = take(data.shards[0], np.arange(40))
    index = after_moments(packed, whole(packed, np.arange(40)), 0.4, rng)
    followed = follow(packed, index, targets)
    found = sets_of(packed, followed, targets, rng)
    row, waits = followed.row, np.full((len(followed.index.moment), len(targets)), np.inf)
    waits[row, followed.target] = followed.wait / DAY
    chosen = waits[:, found.target.numpy()[found.member.numpy()]].min(axis=2)
    end = np.minimum(chosen, followed.index.follow_up[:, None] / DAY)
    spent = np.clip(end[..., None] - targets.edges_days[:-1], 0.0, np.diff(targets.edges_days))
    assert found.days.numpy() == pytest.approx(spent, abs=1e-4)
    came = np.searchsorted(targets.edges_days[1:], chosen, "left")
    assert found.interval.tolist() == came.tolist()
    assert (~found.judged).any(dim=0).all()
    return found, targets


def test_sets_are_followed_as_the_first_of_their_codes_and_never_judged_by_their_own_patient(
    data: Timelines, given_setup: Setup
) -> None:
    for seed in range(3):
        found, targets = drawn_sets(data, given_setup, seed)
        for members in found.target[found.member].tolist():
            for one in set(members):
                code = targets.code[one]
                above = set(targets.link[targets.link_offset[code] : targets.link_offset[code + 1]].tolist())
                assert not (above - {one}) & set(members)


def test_later_results_are_those_of_the_patients_own_record(data: Timelines, given_setup: Setup) -> None:
    piece = plan(data, "train", SPEC, None)[0]
    packed, rng = take(data.shards[0], piece.patient), np.random.default_rng(1)
    index = after_moments(packed, whole(packed, np.arange(packed.n_patients)), 0.3, rng)
    watch, targets = given_setup.collator.watch, given_setup.marginals.targets
    assert watch is not None
    followed = follow(packed, index, targets)
    _, queried = watch.look(packed, followed, rng)
    later, vocabulary = queried.later, data.vocabulary
    owner = np.repeat(np.arange(packed.n_moments), np.diff(packed.event_offset))
    bins = bins_of(vocabulary.rank(np.asarray(packed.event_code), np.asarray(packed.event_value)))
    assert len(later.interval) > 10
    for n, row in enumerate(later.asked.row.tolist()):
        code = np.flatnonzero(watch.valued == int(later.asked.code[n]))[0]
        last, who = followed.index.moment[row], followed.index.patient[row]
        mine = (owner > last) & (owner < packed.moment_offset[who + 1]) & (packed.event_code == code)
        within = np.append(later.inside[n].numpy(), False)
        as_of = packed.moment_time[last] + followed.index.elapsed[row]
        times = (packed.moment_time[owner[mine]] - as_of) / DAY
        hits = times[within[bins[mine]]]
        end = followed.index.follow_up[row] / DAY
        came = hits[0] if len(hits) and hits[0] <= end else np.inf
        assert int(later.interval[n]) == np.searchsorted(targets.edges_days[1:], came, "left")
        assert float(later.days[n].sum()) == pytest.approx(min(came, end) - times[0], abs=1e-3)


def test_a_wider_range_of_values_is_never_less_likely(model: Model, data: Timelines) -> None:
    states = model.encode(data.shards[0], np.arange(30))
    last, code = states.offset[1:] - 1, model.vocabulary.index_of(LAB)
    ranges = [Range(code, low, np.inf) for low in (3.5, 2.5, 2.0, 1.0)] + [Range(code, -np.inf, np.inf)]
    found = [values_inside(model, states, last, np.full(30, 0.5, np.float32), one) for one in ranges]
    for strict, loose in pairwise(found):
        assert (loose.first >= strict.first - 1e-6).all()
        assert (loose.later >= strict.later - 1e-6).all()
    low = values_inside(model, states, last, np.full(30, 0.5, np.float32), Range(code, -np.inf, 2.0))
    assert low.first + found[2].first == pytest.approx(found[4].first, abs=1e-5)
    assert Range(code, 1e6, np.inf).reaches_beyond(model)
    assert not ranges[0].reaches_beyond(model)


def test_values_are_corrected_by_what_came_over_what_was_expected() -> None:
    first = np.zeros((2, 1, CLASSES))
    first[0, 0, 3], first[1, 0, 3] = 195.0, 95.0
    made = Calibration.none(0, 1).with_values(first, np.array([[45.0], [95.0]]))
    bins, later = made.of_value(0)
    assert bins[3] == pytest.approx(2.0)
    assert np.delete(bins, 3) == pytest.approx(np.ones(CLASSES - 1))
    assert later == pytest.approx(0.5)
    assert Calibration.none(0, 1).of_value(0)[1] == 1.0
