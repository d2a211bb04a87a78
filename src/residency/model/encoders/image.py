"""In: images and series. Out: one vector each, from a small convolutional network that was trained here.

Any encoder with the same three methods can stand in its place (entry point `residency.encoders`), for example
one that holds a hub model.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor, nn
from torch.nn import functional

from residency.contract.digests import digest_file, digest_of
from residency.contract.errors import LineageError
from residency.contract.packed import ATTACHMENT_KINDS
from residency.model.checkpoint import read_tensors
from residency.model.encoders.learning import LEARNED_FILE, Lesson
from residency.model.encoders.pictures import SIZE, slices_of

VERSION: Final = 1
WIDTH: Final = 64
_CHANNELS: Final = (16, 32, 48, WIDTH)
_ROWS: Final = 32  # slices at a time, always as many: so a vector is the same whatever is beside it


class Look(nn.Module):
    """A small convolutional network over single slices; a series is their mean and their greatest."""

    def __init__(self) -> None:
        super().__init__()
        pairs = zip((1, *_CHANNELS), _CHANNELS, strict=False)
        self.steps = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(n_in, n_out, 3, stride=2 if place == 0 else 1, padding=1),
                nn.GroupNorm(4, n_out),
                nn.SiLU(),
                nn.MaxPool2d(2) if place else nn.Identity(),
            )
            for place, (n_in, n_out) in enumerate(pairs)
        )
        self.out = nn.Linear(2 * WIDTH, WIDTH)

    def slices(self, x: Float32[Tensor, "slice row column"]) -> Float32[Tensor, "slice width"]:
        """Give what each slice shows: the mean and the greatest over its places."""
        x = (x[:, None] - 0.5) * 4.0
        for step in self.steps:
            x = step(x)
        result: Tensor = self.out(torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1))
        return result

    def forward(
        self, x: Float32[Tensor, "slice row column"], n_each: Int64[Tensor, " image"]
    ) -> Float32[Tensor, "image width"]:
        """Give one vector an image."""
        return pooled(self.slices(x), n_each)


def pooled(
    seen: Float32[Tensor, "slice width"], n_each: Int64[Tensor, " image"]
) -> Float32[Tensor, "image width"]:
    """Pool the slices of each image: half the mean, half the greatest."""
    parts = [part.mean(dim=0) + part.amax(dim=0) for part in torch.split(seen, n_each.tolist())]
    return 0.5 * torch.stack(parts) if parts else seen.new_zeros(0, seen.shape[1])


class ImageEncoder:
    """Encodes images by weights that were learned on this institution's train patients."""

    def __init__(self) -> None:
        self.digest = digest_of([VERSION, "not trained"])
        self.width = WIDTH
        self._look: Look | None = None

    def load(self, path: Path | None, device: str) -> None:
        """Read the weights.

        Raises:
            LineageError: there are none.
        """
        if path is None:
            raise LineageError("the image encoder has no weights", mend="train the model again")
        tensors, _ = read_tensors(path / LEARNED_FILE)
        with torch.random.fork_rng(devices=[]):
            look = Look()
        look.load_state_dict(tensors)
        self._look = look.eval().requires_grad_(False)
        self.digest = digest_of([VERSION, digest_file(path / LEARNED_FILE)])

    def learn(self, lesson: Lesson, path: Path) -> int:
        """Learn the weights from the train patients' images, and write them."""
        from residency.model.encoders.image_learning import learn

        return learn(lesson, path)

    def encode(
        self, batch: list[Any]
    ) -> tuple[Float[np.ndarray, "attachment vector width"], Bool[np.ndarray, "attachment vector"]]:
        """Give one vector an image."""
        assert self._look is not None  # noqa: S101 - `load` comes first
        shown = [slices_of(image) for image in batch]
        n_each = torch.tensor([len(slices) for slices in shown])
        everything = torch.from_numpy(np.concatenate(shown))
        with torch.inference_mode():
            seen = torch.cat([self._look.slices(part)[:n] for part, n in _padded(everything)])
            vectors = pooled(seen, n_each).numpy()
        return vectors[:, None, :], np.ones((len(batch), 1), bool)


def _padded(
    everything: Float32[Tensor, "slice row column"],
) -> Iterator[tuple[Float32[Tensor, "row_of_batch row column"], int]]:
    for part in torch.split(everything, _ROWS):
        yield functional.pad(part, (0, 0, 0, 0, 0, _ROWS - len(part))), len(part)


KIND: Final = ATTACHMENT_KINDS.index("image")
assert SIZE % 16 == 0  # noqa: S101 - four halvings
