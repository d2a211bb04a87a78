"""What encoders made of attachments is kept by content: nothing is encoded twice."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from residency.contract.digests import digest_file, digest_of
from residency.contract.packed import ATTACHMENT_KINDS
from residency.model import Model, ModelSpec, train
from residency.model.attachments import SCALES_FILE, Attaching, fit_scales, ready, without_kinds
from residency.model.encoders import encoding, image_learning
from residency.model.encoders.cache import Cache
from residency.model.encoders.encoding import encode
from residency.model.encoders.image import ImageEncoder
from residency.model.encoders.note import NoteEncoder
from residency.model.encoders.variants import VariantsEncoder
from residency.model.settings import WEIGHTS_FILE
from residency.timeline import Attachments, Note, Timelines, take
from residency.timeline.timelines import ENCODINGS

NOTE = ATTACHMENT_KINDS.index("note")


class Counting:
    """An encoder that counts what it is given, and says how long each text is."""

    def __init__(self, name: str = "a") -> None:
        self.digest = digest_of(name)
        self.given: list[str] = []

    def load(self, path: Path | None, device: str) -> None:
        """Be ready."""

    def encode(self, batch: list[Any]) -> tuple[np.ndarray, np.ndarray]:
        self.given += [note.text for note in batch]
        vectors = np.array([[[len(note.text), 1.0], [7.0, 7.0]] for note in batch], np.float32)
        return vectors, np.array([[True, len(note.text) > 3] for note in batch])


class Dying(Counting):
    """The same, killed on its second batch."""

    def encode(self, batch: list[Any]) -> tuple[np.ndarray, np.ndarray]:
        if self.given:
            raise KeyboardInterrupt
        return super().encode(batch)


@pytest.fixture
def notes() -> Attachments:
    texts = ["a", "cough", "a", "fever and chills", "cough"]
    return Attachments.of(
        notes=pl.DataFrame({"subject_id": range(5), "text": texts, "source": [f"N/{n}" for n in range(5)]})
    )


def test_equal_content_is_encoded_once_whoever_it_is_of(notes: Attachments) -> None:
    encoder = Counting()
    found = encode(notes, np.arange(5), encoder, Cache(None), kind=NOTE)
    assert sorted(encoder.given) == ["a", "cough", "fever and chills"]
    assert found.count.tolist() == [1, 2, 1, 2, 2]
    lengths = found.vector[found.begin, 0]
    assert lengths.tolist() == [1, 5, 1, 16, 5]
    assert found.begin[0] == found.begin[2]


def test_only_what_is_asked_for_is_encoded(notes: Attachments) -> None:
    encoder = Counting()
    found = encode(notes, np.array([3]), encoder, Cache(None), kind=NOTE)
    assert encoder.given == ["fever and chills"]
    assert found.count.tolist() == [0, 0, 0, 2, 0]


def test_another_process_finds_what_was_encoded(notes: Attachments, tmp_path: Path) -> None:
    first = encode(notes, np.arange(4), Counting(), Cache(tmp_path / "kept"), kind=NOTE)
    encoder = Counting()
    again = encode(notes, np.arange(4), encoder, Cache(tmp_path / "kept"), kind=NOTE)
    assert encoder.given == []
    np.testing.assert_array_equal(first.vector, again.vector)


def test_what_is_only_supposed_is_not_kept_and_what_is_kept_is_not_encoded_again(
    notes: Attachments, tmp_path: Path
) -> None:
    cache, encoder = Cache(tmp_path / "kept"), Counting()
    encode(notes, np.arange(5), encoder, cache, kind=NOTE)
    before = sorted(path.name for path in (tmp_path / "kept").iterdir())
    supposed, new = notes.beside(NOTE, np.array([1]), [Note("", "no cough")])
    encoder.given.clear()
    for _ in range(2):
        encode(supposed, np.array([0, 1, *new]), encoder, cache, kind=NOTE)
    assert encoder.given == ["no cough"]
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == before


def test_another_process_leaves_a_sentence_out_without_working_out_the_others(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    said = ["Has a cough.", "Denies fever.", "Smokes ten a day."]
    table = pl.DataFrame({"subject_id": [1], "text": [" ".join(said)], "source": ["N/1"]})
    whole = Attachments.of(notes=table)
    encode(whole, np.arange(1), NoteEncoder(), Cache(tmp_path / "kept"), kind=NOTE)
    supposed, new = whole.beside(NOTE, np.array([0]), [Note("", " ".join(said[1:]))])
    found, expected = NoteEncoder(), NoteEncoder()
    vectors = encode(supposed, np.array(new), found, Cache(tmp_path / "kept"), kind=NOTE)
    assert found.n_sentences == 0
    alone = encode(supposed, np.array(new), expected, Cache(None), kind=NOTE)
    assert expected.n_sentences == 2
    np.testing.assert_array_equal(vectors.vector, alone.vector)


def test_sentences_that_are_only_supposed_are_not_kept(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    table = pl.DataFrame({"subject_id": [1], "text": ["Has a cough."], "source": ["N/1"]})
    supposed, new = Attachments.of(notes=table).beside(NOTE, np.array([0]), [Note("", "Has a fever.")])
    encode(supposed, np.array(new), NoteEncoder(), Cache(tmp_path / "kept"), kind=NOTE)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_killed_encoding_goes_on_where_it_stopped(
    notes: Attachments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "_AT_ONCE", 1)
    with pytest.raises(KeyboardInterrupt):
        encode(notes, np.arange(5), Dying(), Cache(tmp_path / "kept"), kind=NOTE)
    encoder = Counting()
    encode(notes, np.arange(5), encoder, Cache(tmp_path / "kept"), kind=NOTE)
    assert len(encoder.given) == 2


def test_a_damaged_file_is_worked_out_again(notes: Attachments, tmp_path: Path) -> None:
    encode(notes, np.arange(5), Counting(), Cache(tmp_path / "kept"), kind=NOTE)
    (path,) = (tmp_path / "kept").iterdir()
    path.write_bytes(path.read_bytes()[:50])
    encoder = Counting()
    encode(notes, np.arange(5), encoder, Cache(tmp_path / "kept"), kind=NOTE)
    assert len(encoder.given) == 3


def test_a_folder_that_cannot_be_written_to_is_done_without(notes: Attachments, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file stands where the folder would")
    found = encode(notes, np.arange(5), Counting(), Cache(tmp_path / "kept" / "in"), kind=NOTE)
    assert found.count.sum() == 8


def test_no_name_of_a_kept_file_tells_whose_it_is(notes: Attachments, tmp_path: Path) -> None:
    encode(notes, np.arange(5), Counting(), Cache(tmp_path / "kept"), kind=NOTE)
    (path,) = (tmp_path / "kept").iterdir()
    content = notes.digests(NOTE, np.arange(5))
    assert path.stem == digest_of(sorted(set(content)))[:32]


def test_scaled_vectors_have_mean_0_and_spread_1_over_train_patients(documented: Path) -> None:
    data = Timelines.open(documented)
    attaching, encoded = fit_scales(data, {"variants": ready("variants", None)}, lambda *_: None)
    kept = []
    for shard, packed in enumerate(data.shards):
        seen = without_kinds(take(packed, np.flatnonzero(data.split(shard) == "train")), ("variants",))
        vectors = encoded[shard]["variants"]
        unique = np.unique(vectors.begin[seen.attachment_ref])
        kept.append(vectors.vector[unique].astype(np.float64))
    spread = attaching.scales["variants"].spread
    everything = np.concatenate(kept)
    varied = spread > 0.06
    np.testing.assert_allclose(everything.mean(axis=0), 0.0, atol=0.02)
    np.testing.assert_allclose(everything.std(axis=0)[varied], 1.0, atol=0.02)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Count what all encoders together are given from here on."""
    n = [0]

    def watched(encode: Callable[..., Any]) -> Callable[..., Any]:
        def counting(encoder: Any, batch: list[Any], *pieces: Any) -> Any:
            n[0] += len(batch)
            return encode(encoder, batch, *pieces)

        return counting

    monkeypatch.setattr(NoteEncoder, "encode_by_pieces", watched(NoteEncoder.encode_by_pieces))
    for kind in (ImageEncoder, VariantsEncoder):
        monkeypatch.setattr(kind, "encode", watched(kind.encode))
    return lambda: n[0]


def test_two_seeds_and_the_asking_after_them_encode_no_note_twice(
    documented: Path, now, tmp_path: Path, counted: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tokenizers")
    monkeypatch.setattr(image_learning, "LEAST_STEPS", 20)
    spec = ModelSpec(size="tiny", context=16, min_patients=10, threads=1, passes=1)
    train(documented, tmp_path / "one", spec, now=now)
    after_one = counted()
    assert after_one > 0
    train(documented, tmp_path / "again", spec, now=now)
    assert counted() == after_one
    files = (WEIGHTS_FILE, SCALES_FILE)
    assert [digest_file(tmp_path / "one" / name) for name in files] == [
        digest_file(tmp_path / "again" / name) for name in files
    ]
    train(documented, tmp_path / "other", replace(spec, seed=1, image_encoder=""), now=now)
    assert counted() == after_one
    model, data = Model.open(tmp_path / "one"), Timelines.open(documented)
    assert model.kinds == ATTACHMENT_KINDS
    taught = take(data.shards[0], np.flatnonzero(np.isin(data.split(0), ("train", "tuning"))))
    encoded = model.attaching.encoded(data.attachments(0), taught)
    assert counted() == after_one
    assert all(vectors.count.sum() > 0 for vectors in encoded.values())
    assert {path.name for path in (documented / ENCODINGS).iterdir()} >= {
        encoder.digest[:32] for encoder in model.attaching.encoders.values()
    }


def test_a_model_without_encoders_has_nothing_to_attach(documented: Path) -> None:
    data = Timelines.open(documented)
    assert Attaching({}, {}).encoded(data.attachments(0), data.shards[0]) == {}
