"""Losses: exact where they should be, unbiased where they are sampled."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from residency.model.heads import N_HEADS, HazardHead
from residency.model.objectives import (
    HazardTargets,
    bootstrap,
    hazard_loss,
    label_loss,
    next_loss,
    sample,
)

N_INDEX, N_TARGETS, N_INTERVALS, WIDTH, N_FEATURES = 6, 40, 14, 8, 5


@pytest.fixture
def head() -> HazardHead:
    torch.manual_seed(1)
    made = HazardHead((WIDTH, N_FEATURES), 3, torch.randn(2, N_TARGETS, N_INTERVALS) - 2.0)
    torch.nn.init.normal_(made.standing.up, std=0.3)
    torch.nn.init.normal_(made.standing.apart, std=0.3)
    return made


@pytest.fixture
def asked() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(3)
    return torch.randn(N_INDEX, WIDTH), torch.rand(N_INDEX, N_FEATURES)


SCALE = torch.linspace(0.5, 2.0, 2 * N_TARGETS).view(2, N_TARGETS)


@pytest.fixture
def truth() -> HazardTargets:
    torch.manual_seed(2)
    n_next = 15
    row, target = torch.randint(N_INDEX, (n_next,)), torch.randint(N_TARGETS, (n_next,))
    never = torch.rand(N_INDEX, N_TARGETS) < 0.5
    return HazardTargets(
        row=row,
        target=target,
        first=never[row, target],
        never=never,
        interval=torch.randint(N_INTERVALS, (n_next,)),
        columns=torch.arange(N_TARGETS),
        column_weight=torch.ones(N_TARGETS),
        days=torch.rand(N_INDEX, N_TARGETS, N_INTERVALS),
        weight=torch.randint(3, (N_INDEX, N_HEADS)).float(),
    )


def test_the_hazard_loss_is_the_likelihood_written_out(
    head: HazardHead, truth: HazardTargets, asked: tuple[torch.Tensor, torch.Tensor]
) -> None:
    head.requires_grad_(False)
    rate = head.columns(head.read(*asked), truth.columns, truth.never).detach().exp()
    worth = torch.where(truth.never, SCALE[0], SCALE[1])
    by_hand = 0.0
    for h in range(N_HEADS):
        for i in range(N_INDEX):
            survived = float((worth[i, :, None] * rate[i, h] * truth.days[i]).sum())
            seen = sum(
                float(worth[i, truth.target[k]] * rate[i, h, truth.target[k], truth.interval[k]].log())
                for k in range(len(truth.row))
                if int(truth.row[k]) == i
            )
            by_hand += float(truth.weight[i, h]) * (survived - seen)
    said = float(hazard_loss(head, head.read(*asked), truth, SCALE))
    assert said == pytest.approx(by_hand / (N_HEADS * N_INDEX), rel=1e-4)


def test_first_and_later_occurrences_have_hazards_of_their_own(
    head: HazardHead, asked: tuple[torch.Tensor, torch.Tensor]
) -> None:
    read, every = head.read(*asked), torch.arange(N_TARGETS)
    first, later = (head.columns(read, every, torch.full((N_INDEX, N_TARGETS), n)) for n in (True, False))
    assert (first - later).abs().min() > 0
    half = torch.zeros(N_INDEX, N_TARGETS, dtype=torch.bool)
    half[:, ::2] = True
    mixed = head.columns(read, every, half)
    assert torch.equal(mixed[:, :, ::2], first[:, :, ::2])
    assert torch.equal(mixed[:, :, 1::2], later[:, :, 1::2])


@pytest.mark.parametrize(("span", "moved"), [(0, slice(0, 8)), (1, slice(8, 13)), (2, slice(13, 14))])
def test_the_record_is_read_apart_within_a_week_to_a_year_and_beyond(
    head: HazardHead, asked: tuple[torch.Tensor, torch.Tensor], span: int, moved: slice
) -> None:
    never = torch.ones(N_INDEX, N_TARGETS, dtype=torch.bool)
    before = head.columns(head.read(*asked), torch.arange(N_TARGETS), never)
    with torch.no_grad():
        head.standing.apart[:, :, span] += 1.0
    change = (head.columns(head.read(*asked), torch.arange(N_TARGETS), never) - before).abs()
    stays = torch.ones(N_INTERVALS, dtype=torch.bool)
    stays[moved] = False
    assert (change[..., moved] > 0).any()
    assert (change[..., stays] == 0).all()


def test_what_heads_read_of_the_record_moves_hazards(
    head: HazardHead, asked: tuple[torch.Tensor, torch.Tensor]
) -> None:
    z, features = asked
    never = torch.ones(N_INDEX, N_TARGETS, dtype=torch.bool)
    one, other = (
        head.columns(head.read(z, f), torch.arange(N_TARGETS), never) for f in (features, 1 - features)
    )
    assert (one - other).abs().mean() > 1e-3


def test_sampled_exposure_is_unbiased_against_the_dense_likelihood(
    head: HazardHead, truth: HazardTargets, asked: tuple[torch.Tensor, torch.Tensor]
) -> None:
    rng = np.random.default_rng(0)
    rate = np.linspace(1, 100, N_TARGETS).astype(np.float32)
    drawn = []
    for _ in range(3000):
        chosen = sample(rate, 10, rng)
        assert len(chosen.target) < N_TARGETS
        columns = torch.from_numpy(chosen.target)
        part = replace(
            truth,
            columns=columns,
            column_weight=torch.from_numpy(chosen.weight),
            days=truth.days[:, columns],
            never=truth.never[:, columns],
        )
        with torch.no_grad():
            drawn.append(float(hazard_loss(head, head.read(*asked), part, SCALE)))
    error = np.std(drawn) / np.sqrt(len(drawn))
    dense = float(hazard_loss(head, head.read(*asked), truth, SCALE).detach())
    assert np.std(drawn) > 0
    assert abs(np.mean(drawn) - dense) < 4 * error


def test_few_targets_are_all_taken_at_weight_one() -> None:
    chosen = sample(np.ones(7, np.float32), 7, np.random.default_rng(0))
    assert chosen.target.tolist() == list(range(7))
    assert (chosen.weight == 1).all()


def test_a_patients_bootstrap_weight_hangs_on_nothing_else() -> None:
    alone = bootstrap(np.array([77]), seed=3)
    among = bootstrap(np.arange(100), seed=3)
    assert (among[77] == alone[0]).all()
    assert (bootstrap(np.arange(100), seed=4) != among).any()


def test_bootstrap_weights_are_poisson_of_mean_one_and_apart_between_heads() -> None:
    weight = bootstrap(np.arange(50_000), seed=0)
    assert weight.mean(axis=0) == pytest.approx(np.ones(N_HEADS), abs=0.03)
    assert weight.var(axis=0) == pytest.approx(np.ones(N_HEADS), abs=0.05)
    assert np.abs(np.corrcoef(weight.T) - np.eye(N_HEADS)).max() < 0.02


def test_the_label_loss_is_the_mean_cross_entropy() -> None:
    logits, value = torch.zeros(4, N_HEADS), torch.tensor([0.0, 1.0, 1.0, 0.0])
    assert float(label_loss(logits, value, torch.ones(4, N_HEADS))) == pytest.approx(np.log(2))


def test_ranks_of_codes_that_do_not_come_cost_nothing() -> None:
    said = (torch.zeros(1, 2), torch.tensor([[0.5, 0.9]]))
    present, nan = torch.tensor([[1.0, 0.0]]), float("nan")
    exact = next_loss(said, present, torch.tensor([[0.5, nan]]))
    assert float(exact) == pytest.approx(np.log(2))
    assert float(next_loss(said, present, torch.tensor([[0.7, nan]]))) > float(exact)
