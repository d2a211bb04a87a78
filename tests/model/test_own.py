"""A taught code's own maps: what they read, and where in the hazards they speak."""

import numpy as np
import pytest
import torch

from residency.model.heads import N_HEADS, SPANS_DAYS, Cells, HazardHead
from residency.model.moments import CLOCK_NUMBERS, n_panel_numbers, numbers_of, panel_numbers
from residency.model.objectives import HazardTargets, hazard_loss
from residency.model.own import OwnMaps

PANEL, N_TARGETS, N_INTERVALS, WIDTH = (5, 3), 6, 14, 4
TAUGHT = ((2, (0, 4)), (5, (1,)))
N_NUMBERS = n_panel_numbers(*PANEL)


@pytest.fixture
def maps() -> OwnMaps:
    torch.manual_seed(0)
    made = OwnMaps(TAUGHT, PANEL, N_HEADS, len(SPANS_DAYS) + 1)
    for name in ("straight", "outer", "shift"):
        torch.nn.init.normal_(getattr(made, name), std=0.2)
    return made


@pytest.fixture
def head(maps: OwnMaps) -> HazardHead:
    bias = torch.randn(2, N_TARGETS, N_INTERVALS) - 2.0
    made = HazardHead((WIDTH, N_NUMBERS), 3, bias, maps)
    torch.nn.init.normal_(made.standing.up, std=0.1)
    return made


def asked(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(n, WIDTH), torch.rand(n, CLOCK_NUMBERS + N_NUMBERS)


@pytest.mark.parametrize("code", range(PANEL[0]))
def test_the_numbers_of_a_code_are_those_that_move_with_it(code: int) -> None:
    panel = [torch.rand(2, n) for n in (PANEL[1], PANEL[0], PANEL[1], PANEL[0])]
    before = panel_numbers(*panel)
    for part in panel:
        if code < part.shape[1]:
            part[:, code] = torch.tensor([0.9, 3.0])
    moved = (panel_numbers(*panel) != before).any(dim=0).nonzero().flatten().tolist()
    assert set(moved) <= set(numbers_of(code, *PANEL))
    assert len(moved) > 4


def test_the_numbers_of_all_codes_are_all_there_are() -> None:
    every = sorted(number for code in range(PANEL[0]) for number in numbers_of(code, *PANEL))
    assert every == list(range(N_NUMBERS))


def test_a_code_reads_the_clock_and_what_was_picked_for_it_alone(maps: OwnMaps) -> None:
    numbers = torch.rand(1, CLOCK_NUMBERS + N_NUMBERS, requires_grad=True)
    for place, (_, codes) in enumerate(TAUGHT):
        (gradient,) = torch.autograd.grad(maps(numbers)[..., place].sum(), numbers)
        read = {n + CLOCK_NUMBERS for code in codes for n in numbers_of(code, *PANEL)}
        assert set(gradient[0].nonzero().flatten().tolist()) <= read | set(range(CLOCK_NUMBERS))
        assert len(gradient[0].nonzero()) > len(read)


def test_they_speak_of_first_records_of_taught_codes_alone(head: HazardHead) -> None:
    z, numbers = asked(7)
    plain = HazardHead((WIDTH, N_NUMBERS), 3, head.bias.detach())
    plain.load_state_dict({k: v for k, v in head.state_dict().items() if not k.startswith("own.")})
    target = torch.arange(N_TARGETS)
    own = head.own(numbers) if head.own is not None else torch.empty(0)
    for never in (True, False):
        known = torch.full((7, N_TARGETS), never)
        said = head.columns(head.read(z, numbers), target, known)
        without = plain.columns(plain.read(z, numbers), target, known)
        added = torch.zeros_like(said)
        if never:
            added[:, :, [code for code, _ in TAUGHT]] = own.mT[..., head.standing.span]
        torch.testing.assert_close(said, without + added)


def test_a_slope_weakens_what_they_say_as_all_else(head: HazardHead) -> None:
    z, numbers = asked(3)
    target, never = torch.arange(N_TARGETS), torch.ones(3, N_TARGETS, dtype=torch.bool)
    read = head.read(z, numbers)
    whole, half = (head.columns(read, target, never, (by, 1.0)) - head.bias[0] for by in (1.0, 0.5))
    torch.testing.assert_close(half, whole / 2, rtol=1e-4, atol=1e-5)


def test_single_cells_are_those_of_the_columns(head: HazardHead) -> None:
    z, numbers = asked(4)
    row, target, interval = torch.randint(4, (30,)), torch.randint(N_TARGETS, (30,)), torch.randint(14, (30,))
    never = torch.rand(4, N_TARGETS) < 0.5
    read = head.read(z, numbers)
    cells = head.cells(read, Cells(row, target, interval, never[row, target]))
    columns = head.columns(read, torch.arange(N_TARGETS), never)
    torch.testing.assert_close(cells, columns[row, :, target, interval])


def test_the_loss_counts_what_they_say(head: HazardHead) -> None:
    """Against the likelihood written out, of hazards that hold the maps' own part."""
    rng = np.random.default_rng(0)
    z, numbers = asked(4)
    never = torch.from_numpy(rng.random((4, N_TARGETS)) < 0.7)
    row, target = torch.tensor([0, 1, 3]), torch.tensor([2, 5, 1])
    truth = HazardTargets(
        row=row,
        target=target,
        interval=torch.tensor([0, 7, 13]),
        first=never[row, target],
        columns=torch.arange(N_TARGETS),
        column_weight=torch.ones(N_TARGETS),
        days=torch.from_numpy(rng.random((4, N_TARGETS, N_INTERVALS)).astype(np.float32)),
        weight=torch.ones(4, N_HEADS),
        never=never,
    )
    with torch.no_grad():
        read = head.read(z, numbers)
        log_rate = head.columns(read, truth.columns, never)
        spent = (log_rate.exp() * truth.days[:, None]).sum()
        events = log_rate[row, :, target, truth.interval].sum()
        loss = hazard_loss(head, read, truth, torch.ones(2, N_TARGETS))
    torch.testing.assert_close(loss, (spent - events) / (N_HEADS * 4))
