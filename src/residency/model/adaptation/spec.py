"""In: settings of a local adaptation. Out: how much a model may move towards a new site."""

from residency.contract.specs import spec


@spec
class AdaptSpec:
    """How much a model may move towards a new site's patients.

    Attributes:
        rank: of what is added to each of the base's matrices; 0 to recalibrate alone.
        passes: numbers of passes that are tried; none at all is always tried too.
        folds: parts that the patients are cut into: each judges what was learned on the others.
        learning_rate: the highest.
        sites: whose patients; empty for all of the timelines. Of a site held out in `build`, all count.
        most_patients: at most so many, by a hash of each; 0 for all.
        seed: of first weights and of order.
        threads: of the processor; part of *same bytes*.
    """

    rank: int = 4
    passes: tuple[int, ...] = (1, 2, 4)
    folds: int = 5
    learning_rate: float = 1e-3
    sites: tuple[str, ...] = ()
    most_patients: int = 0
    seed: int = 0
    threads: int = 2

    def __post_init__(self) -> None:
        if self.rank < 0 or self.most_patients < 0 or self.threads < 1 or self.folds < 2:
            raise ValueError("rank and most_patients must be 0 or more; threads 1 or more; folds 2 or more")
        if not self.passes or min(self.passes) < 1 or self.learning_rate <= 0:
            raise ValueError("passes must be 1 or more each, and learning_rate above 0")
