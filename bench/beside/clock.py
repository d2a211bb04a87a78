"""In: a peer's training, in its own environment. Out: the same, stopped by a clock, with what it read."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import lightning
import torch

WARM_SECONDS, WARM_STEPS = 60.0, 4


class Clock(lightning.Callback):
    """Stops a training after so many seconds of the processor, and counts what it read.

    Args:
        seconds: when it is enough.
        apart: tokens that are counted apart, too.
    """

    def __init__(self, seconds: float, apart: Sequence[int] = ()) -> None:
        self.limit, self.seconds, self.first = seconds, 0.0, 0.0
        self.tokens, self.tokens_apart, self.steps = 0, 0, 0
        self.apart = torch.tensor(list(apart), dtype=torch.long)

    def on_train_batch_start(self, *_: object) -> None:
        """Begin with the first batch, so that nothing before it counts."""
        if not self.steps:
            self.began = time.process_time()

    def on_train_batch_end(self, trainer: lightning.Trainer, *rest: Any) -> None:
        """Count the batch; say when it is enough."""
        code = rest[2].code
        self.tokens += int((code != 0).sum())
        self.tokens_apart += int(torch.isin(code, self.apart).sum())
        self.steps += 1
        self.seconds = time.process_time() - self.began
        self.first = self.first or self.seconds
        trainer.should_stop = trainer.should_stop or self.seconds > self.limit


def clocked(train: Callable[[float, int], tuple[Any, Clock]], seconds: float) -> tuple[Any, Clock]:
    """Train for so many seconds, the learning rate planned for as many steps as fit in them.

    Args:
        train: given seconds and steps, trains from the start until either is used up.
        seconds: of the processor.
    """
    _, warm = train(WARM_SECONDS, WARM_STEPS)
    # the first step sets up what the others find; planned for so many, stopped by the clock
    each = (warm.seconds - warm.first) / (warm.steps - 1)
    return train(seconds, max(10, round(seconds / each)))
