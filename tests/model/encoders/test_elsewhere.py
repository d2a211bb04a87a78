"""Encoders that the user has: a `/score` endpoint (a server of our own here) and tiny random hub models."""

import base64
import io
import json
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from residency.contract.errors import PluginError, SpecError
from residency.contract.plugins import Encoder
from residency.model.encoders.pictures import shown
from residency.timeline import Image, Note

httpx = pytest.importorskip("httpx")
Pillow = pytest.importorskip("PIL.Image")
WIDTH = 4
NAN = float("nan")
PROJECT = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text("utf-8"))["project"]


def _image(seed: int, slices: int = 1) -> Image:
    pixels = np.random.default_rng(seed).integers(0, 4000, (slices, 30, 20)).astype(np.int16)
    return Image("DX", "", pixels, (NAN, NAN, NAN), (2000.0, 4000.0))


def _note(text: str) -> Note:
    return Note("LOINC/34109-9", text)


class _Endpoint(BaseHTTPRequestHandler):
    """Answers as MedImageInsight does; a picture's vector is made of its dots, a text's of its letters."""

    busy = 0
    requests: list[dict] = []  # noqa: RUF012 - one server, one test at a time
    answer: object = None

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).requests.append({"body": body, "key": self.headers.get("Authorization")})
        if type(self).busy:
            type(self).busy -= 1
            self.send_response(503)
            self.end_headers()
            return
        said = (
            self.answer if self.answer is not None else [self._row(row) for row in body["input_data"]["data"]]
        )
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(said).encode())

    @staticmethod
    def _row(row: list[str]) -> dict:
        image, text = row
        if text:
            return {"text_features": [[float(len(text)), 1.0, 2.0, 3.0]], "image_features": []}
        dots = np.asarray(Pillow.open(io.BytesIO(base64.b64decode(image))))
        return {"image_features": [[float(dots.mean()), *dots.shape, float(dots.max())]], "text_features": []}

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Endpoint]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings = tmp_path / "score.toml"
    url = f"http://127.0.0.1:{server.server_port}/score"
    settings.write_text(f'url = "{url}"\nmodel = "tiny 1"\nwidth = {WIDTH}\nat_once = 2\n', "utf-8")
    monkeypatch.setenv("RESIDENCY_SCORE", str(settings))
    _Endpoint.busy, _Endpoint.requests, _Endpoint.answer = 0, [], None
    yield _Endpoint
    server.shutdown()
    server.server_close()


def _ready(name: str) -> Encoder:
    """Load an encoder by its entry point, as the project states it."""
    place = PROJECT["entry-points"]["residency.encoders"][name].split(" ")[0]
    module, _, part = place.partition(":")
    encoder = getattr(import_module(module), part)()
    assert isinstance(encoder, Encoder)
    encoder.load(None, "cpu")
    return encoder


def test_pictures_go_out_and_vectors_come_back_in_order(
    endpoint: type[_Endpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESIDENCY_SCORE_KEY", "secret")
    images = [_image(seed) for seed in range(3)]
    vectors, counts = _ready("score-image").encode(images)
    assert vectors.shape == (3, 1, WIDTH)
    assert counts.all()
    expected = [shown(image, 1)[0].mean() for image in images]
    assert vectors[:, 0, 0] == pytest.approx(expected, rel=1e-5)
    assert [len(one["body"]["input_data"]["data"]) for one in endpoint.requests] == [2, 1]
    assert {one["key"] for one in endpoint.requests} == {"Bearer secret"}


def test_notes_go_out_as_text(endpoint: type[_Endpoint]) -> None:
    vectors, _ = _ready("score-note").encode([_note("four"), _note("letters")])
    assert vectors[:, 0, 0].tolist() == [4.0, 7.0]
    assert endpoint.requests[0]["body"]["input_data"]["columns"] == ["image", "text"]


def test_a_busy_endpoint_is_asked_again_and_a_dead_one_is_named_without_a_record(
    endpoint: type[_Endpoint],
) -> None:
    encoder = _ready("score-note")
    endpoint.busy = 2
    assert encoder.encode([_note("four")])[0][0, 0, 0] == 4.0
    endpoint.busy = 9
    with pytest.raises(PluginError, match="status 503") as refused:
        encoder.encode([_note("a secret of the patient")])
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("answer", [{"error": "x"}, [{"text_features": [[1.0]]}], [{"other": 1}], [], "no"])
def test_another_answer_than_vectors_is_refused(endpoint: type[_Endpoint], answer: object) -> None:
    endpoint.answer = answer
    with pytest.raises(PluginError, match="endpoint"):
        _ready("score-note").encode([_note("four")])


def test_another_model_is_another_encoder_and_another_address_is_not(
    endpoint: type[_Endpoint], tmp_path: Path
) -> None:
    first = _ready("score-note").digest
    settings = tmp_path / "score.toml"
    text = settings.read_text("utf-8")
    settings.write_text(text.replace("/score", "/elsewhere"), "utf-8")
    assert _ready("score-note").digest == first
    settings.write_text(text.replace("tiny 1", "tiny 2"), "utf-8")
    assert _ready("score-note").digest != first
    assert _ready("score-image").digest != first


def test_records_leave_in_the_clear_for_this_machine_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "score.toml"
    settings.write_text('url = "http://example.org/score"\nmodel = "m"\nwidth = 4\n', "utf-8")
    monkeypatch.setenv("RESIDENCY_SCORE", str(settings))
    with pytest.raises(SpecError, match="https"):
        _ready("score-note")
    monkeypatch.delenv("RESIDENCY_SCORE")
    with pytest.raises(SpecError, match="no endpoint"):
        _ready("score-note")


def test_a_picture_is_shown_through_its_window_at_its_own_size() -> None:
    image = _image(0, slices=5)
    slices = shown(image, 3)
    assert [one.shape for one in slices] == [(30, 20)] * 3
    assert slices[0].dtype == np.uint8
    expected = np.clip(image.pixels[2] / 4000.0, 0, 1) * 255
    assert shown(image, 1)[0] == pytest.approx(expected, abs=0.51)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of two tiny models with random weights."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("hub")
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.ViTConfig(**small, image_size=32, patch_size=16)
    transformers.ViTModel(config).save_pretrained(folder / "image")
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder / "image")
    (folder / "note").mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "chest", "pain", "no"]
    (folder / "note" / "vocab.txt").write_text("\n".join(words), "utf-8")
    config = transformers.BertConfig(vocab_size=len(words), max_position_embeddings=16, **small)
    transformers.BertModel(config).save_pretrained(folder / "note")
    tokenizer = transformers.BertTokenizerFast(str(folder / "note" / "vocab.txt"), model_max_length=16)
    tokenizer.save_pretrained(folder / "note")
    return folder


@pytest.mark.filterwarnings("ignore")
def test_a_hub_model_gives_a_vector_a_slice_whatever_is_beside_it(
    hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESIDENCY_HUB_IMAGE", str(hub / "image"))
    encoder = _ready("hub-image")
    images = [_image(1), _image(2, slices=9)]
    vectors, counts = encoder.encode(images)
    assert vectors.shape == (2, 4, 16)
    assert counts.sum(axis=1).tolist() == [1, 4]
    alone, _ = encoder.encode(images[1:])
    assert np.array_equal(alone[0], vectors[1])
    assert np.abs(vectors[0, 0] - vectors[1, 0]).max() > 0


@pytest.mark.filterwarnings("ignore")
def test_a_hub_model_reads_a_long_note_in_parts(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESIDENCY_HUB_NOTE", str(hub / "note"))
    encoder = _ready("hub-note")
    vectors, counts = encoder.encode([_note("chest pain"), _note("no chest pain " * 10), _note("")])
    assert counts.sum(axis=1).tolist() == [1, 3, 1]
    assert vectors.shape == (3, 4, 16)
    assert np.isfinite(vectors).all()


@pytest.mark.filterwarnings("ignore")
def test_other_weights_are_another_encoder_and_no_folder_is_refused(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    monkeypatch.setenv("RESIDENCY_HUB_NOTE", str(hub / "note"))
    first = _ready("hub-note").digest
    copy = tmp_path / "note"
    shutil.copytree(hub / "note", copy)
    monkeypatch.setenv("RESIDENCY_HUB_NOTE", str(copy))
    assert _ready("hub-note").digest == first
    (copy / "extra.txt").write_text("x", "utf-8")
    assert _ready("hub-note").digest != first
    monkeypatch.setenv("RESIDENCY_HUB_NOTE", str(tmp_path / "absent"))
    with pytest.raises(PluginError, match="cannot be opened"):
        _ready("hub-note")
    monkeypatch.delenv("RESIDENCY_HUB_NOTE")
    with pytest.raises(SpecError, match="no folder"):
        _ready("hub-note")
