"""In: images or notes. Out: vectors from a `/score` endpoint: the interface of Azure's healthcare models.

What is sent is what the model would have read here: de-identified pictures or text. A settings file, named by
the environment, says where to: the address is the institution's choice and is no part of a model. Its `model`
is part of the encoder's digest: change it when the endpoint's weights change.
"""

import base64
import io
import os
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import numpy as np
from jaxtyping import Bool, Float
from PIL import Image as Pillow

from residency.contract.digests import digest_of
from residency.contract.errors import PluginError, SpecError
from residency.contract.specs import load, spec
from residency.model.encoders.pictures import shown
from residency.timeline import Image, Note

VERSION: Final = 1
WHERE: Final = "RESIDENCY_SCORE"  # names the settings file
KEY: Final = "RESIDENCY_SCORE_KEY"
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_TRIES: Final = 3


@spec
class ScoreSpec:
    """Where vectors come from.

    Attributes:
        url: of `/score`; https, but on this machine.
        model: name and version of what answers there; another one is another encoder.
        width: of its vectors.
        at_once: rows of a request.
        seconds: that a request may take.
    """

    url: str
    model: str
    width: int
    at_once: int = 16
    seconds: float = 60.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
            raise ValueError("url must begin with https, unless it is of this machine")
        if self.width < 1 or self.at_once < 1 or self.seconds <= 0 or not self.model:
            raise ValueError("width, at_once and seconds must be above 0, and model must be named")


class ScoreEncoder:
    """Asks an endpoint for one vector an attachment."""

    column = ""

    def __init__(self) -> None:
        self.digest = ""
        self._spec: ScoreSpec | None = None

    def load(self, path: Path | None, device: str) -> None:
        """Read the settings that the environment names.

        Raises:
            SpecError: it names none, or they are wrong.
        """
        if WHERE not in os.environ:
            raise SpecError("no endpoint for vectors is named", where=WHERE, mend="set it to a settings file")
        self._spec = load(ScoreSpec, Path(os.environ[WHERE]))
        self.digest = digest_of([VERSION, self.column, self._spec.model, self._spec.width])

    def encode(
        self, batch: list[Any]
    ) -> tuple[Float[np.ndarray, "attachment vector width"], Bool[np.ndarray, "attachment vector"]]:
        """Give one vector each.

        Raises:
            PluginError: the endpoint is away, refuses, or answers something else.
        """
        if self._spec is None:
            raise PluginError("the encoder is not ready", where=WHERE)
        vectors = np.zeros((len(batch), 1, self._spec.width), np.float32)
        for start in range(0, len(batch), self._spec.at_once):
            cells = [self.cell(one) for one in batch[start : start + self._spec.at_once]]
            vectors[start : start + len(cells), 0] = self._ask(self._spec, cells)
        return vectors, np.ones((len(batch), 1), bool)

    def cell(self, one: Any) -> str:
        """Give what is sent of one attachment."""
        raise NotImplementedError

    def _ask(self, where: ScoreSpec, cells: list[str]) -> np.ndarray:
        rows = [[cell if name == self.column else "" for name in ("image", "text")] for cell in cells]
        data = {"columns": ["image", "text"], "index": list(range(len(cells))), "data": rows}
        found = _posted(where, {"input_data": data, "params": {}})
        try:
            vectors = np.array([np.ravel(row[f"{self.column}_features"]) for row in found], np.float32)
        except (KeyError, TypeError, ValueError):
            raise PluginError("the endpoint answers no vectors", where=where.model) from None
        if vectors.shape != (len(cells), where.width) or not np.isfinite(vectors).all():
            raise PluginError("the endpoint's vectors are not of the width that was said", where=where.model)
        return vectors


def _posted(where: ScoreSpec, body: dict[str, Any]) -> Any:
    """Post; a busy endpoint is asked again. What an error says is not repeated: it may echo a record."""
    headers = {"Authorization": f"Bearer {os.environ[KEY]}"} if KEY in os.environ else {}
    status = 0
    for _ in range(_TRIES):
        try:
            answer = httpx.post(where.url, json=body, headers=headers, timeout=where.seconds)
        except httpx.HTTPError as error:
            raise PluginError(
                "the endpoint cannot be reached", where=where.model, mend=type(error).__name__
            ) from None
        status = answer.status_code
        if status == httpx.codes.OK:
            try:
                return answer.json()
            except ValueError:
                raise PluginError("the endpoint answers no JSON", where=where.model) from None
        if status not in (429, 502, 503, 504):
            break
    raise PluginError(f"the endpoint answers with status {status}", where=where.model)


class ScoreImageEncoder(ScoreEncoder):
    """Sends a series' middle slice as PNG."""

    column = "image"

    def cell(self, one: Image) -> str:
        """Give a PNG in base64."""
        buffer = io.BytesIO()
        Pillow.fromarray(shown(one, 1)[0]).save(buffer, format="PNG")
        return base64.b64encode(buffer.getvalue()).decode()


class ScoreNoteEncoder(ScoreEncoder):
    """Sends a note's text."""

    column = "text"

    def cell(self, one: Note) -> str:
        """Give the text."""
        return one.text
