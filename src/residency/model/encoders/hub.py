"""In: images or notes. Out: vectors from a model that the user has: a Hugging Face folder on this machine.

The folder is named by the environment; nothing is fetched. Any folder that `transformers.AutoModel` opens
will do, for example RAD-DINO for images. Code that comes with a folder is not run.
"""

import os
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image as Pillow

from residency.contract.digests import digest_of, digest_tree
from residency.contract.errors import PluginError, SpecError
from residency.model.encoders.pictures import shown
from residency.timeline import Image, Note

VERSION: Final = 1
SLICES: Final = 4
PARTS: Final = 4  # of a note, each as long as the model reads
_MOST_TOKENS: Final = 512


class HubEncoder:
    """Opens a folder of weights."""

    place = ""

    def __init__(self) -> None:
        self.digest = ""
        self._model: Any = None
        self._before: Any = None

    def load(self, path: Path | None, device: str) -> None:
        """Open the folder that the environment names.

        Raises:
            SpecError: it names none.
            PluginError: the folder cannot be opened.
        """
        if self.place not in os.environ:
            raise SpecError("no folder with a hub model is named", where=self.place, mend="set it to one")
        folder = Path(os.environ[self.place])
        try:
            self._open(folder)
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise PluginError(
                "the hub model cannot be opened", where=self.place, mend=type(error).__name__
            ) from None
        self._model.eval().to(device)
        self.digest = digest_of([VERSION, digest_tree(folder)])

    def _open(self, folder: Path) -> None:
        raise NotImplementedError

    def _pooled(self, inputs: dict[str, torch.Tensor], *, mean: bool) -> np.ndarray:
        """Give a vector each: the mean over what counts, or the model's own pooled one where it has one."""
        with torch.inference_mode():
            said = self._model(**{name: x.to(self._model.device) for name, x in inputs.items()})
        if not mean and getattr(said, "pooler_output", None) is not None:
            vectors = said.pooler_output
        else:
            states = said.last_hidden_state
            mask = inputs.get("attention_mask", torch.ones(states.shape[:2])).to(states)[..., None]
            vectors = (states * mask).sum(dim=1) / mask.sum(dim=1)
        result: np.ndarray = vectors.float().cpu().numpy()
        return result


class HubImageEncoder(HubEncoder):
    """Reads up to four slices of a series, one vector each."""

    place = "RESIDENCY_HUB_IMAGE"

    def _open(self, folder: Path) -> None:
        from transformers import AutoImageProcessor, AutoModel

        processor: Any = AutoImageProcessor
        self._before = processor.from_pretrained(folder, local_files_only=True)
        self._model = AutoModel.from_pretrained(folder, local_files_only=True)

    def encode(
        self, batch: list[Image]
    ) -> tuple[Float[np.ndarray, "attachment vector width"], Bool[np.ndarray, "attachment vector"]]:
        """Give up to four vectors an image; each alone, so that it hangs on nothing beside it."""
        each = []
        for image in batch:
            pictures = [Pillow.fromarray(slice_).convert("RGB") for slice_ in shown(image, SLICES)]
            each.append(self._pooled(dict(self._before(images=pictures, return_tensors="pt")), mean=False))
        return laid_out(each, SLICES)


class HubNoteEncoder(HubEncoder):
    """Reads the first parts of a note, each as long as the model can, one vector each."""

    place = "RESIDENCY_HUB_NOTE"

    def _open(self, folder: Path) -> None:
        from transformers import AutoModel, AutoTokenizer

        self._before = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._model = AutoModel.from_pretrained(folder, local_files_only=True)

    def encode(
        self, batch: list[Note]
    ) -> tuple[Float[np.ndarray, "attachment vector width"], Bool[np.ndarray, "attachment vector"]]:
        """Give up to four vectors a note."""
        return laid_out([self._parts(note.text) for note in batch], PARTS)

    def _parts(self, text: str) -> np.ndarray:
        most = min(self._before.model_max_length, _MOST_TOKENS)
        cut = self._before(
            text, truncation=True, max_length=most, return_overflowing_tokens=True, padding=True,
            return_tensors="pt",
        )  # fmt: skip
        wanted = {name: cut[name][:PARTS] for name in ("input_ids", "attention_mask")}
        return self._pooled(wanted, mean=True)


def laid_out(each: list[np.ndarray], most: int) -> tuple[np.ndarray, np.ndarray]:
    """Put vectors of several attachments into one array, and say which places are filled."""
    width = max((vectors.shape[1] for vectors in each), default=0)
    result = np.zeros((len(each), most, width), np.float32)
    counts = np.zeros((len(each), most), bool)
    for row, vectors in enumerate(each):
        result[row, : len(vectors)], counts[row, : len(vectors)] = vectors[:most], True
    return result, counts
