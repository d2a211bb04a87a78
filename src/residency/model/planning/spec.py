"""In: settings of a plan. Out: which small trainings to hold, and which budget to spend."""

from dataclasses import field

from residency.contract.specs import spec
from residency.model.spec import SIZES, ModelSpec


@spec
class PlanSpec:
    """Which small trainings to hold, and which budget to advise on.

    Attributes:
        model: settings of every training; its `size` and `seed` are set by the ladder.
        sizes: of the ladder; two or more.
        shares: of the train patients, each within the next larger; two or more.
        seeds: trainings of each size and share.
        gpu_hours: the budget.
        gpu_flops: multiplications and additions a second that one GPU truly does in training: as measured
            there, else .4 of its bfloat16 matrix rate (4e14 is that of a card of 1e15).
        n_draws: bootstrap draws behind each interval.
        seed: of the draws.
    """

    model: ModelSpec = field(default_factory=ModelSpec)
    sizes: tuple[str, ...] = ("tiny", "small", "base")
    shares: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0)
    seeds: int = 1
    gpu_hours: float = 100.0
    gpu_flops: float = 4e14
    n_draws: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        if len(set(self.sizes)) < 2 or not set(self.sizes) <= set(SIZES):
            raise ValueError(f"sizes must be two or more of {', '.join(SIZES)}")
        if len(set(self.shares)) < 2 or not all(0 < share <= 1 for share in self.shares):
            raise ValueError("shares must be two or more, above 0 and at most 1")
        if min(self.seeds, self.n_draws) < 1 or min(self.gpu_hours, self.gpu_flops) <= 0:
            raise ValueError("seeds and n_draws must be 1 or more; gpu_hours and gpu_flops above 0")
