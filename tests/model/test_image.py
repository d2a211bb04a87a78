"""Pictures brought to one size, and the small network that is trained on them."""

import tarfile
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch

from residency.contract.digests import digest_file
from residency.contract.errors import LineageError
from residency.contract.packed import ATTACHMENT_KINDS
from residency.model import Model, ModelSpec, train
from residency.model.attachments import reading
from residency.model.encoders import image_learning
from residency.model.encoders.image import WIDTH, ImageEncoder
from residency.model.encoders.image_learning import learn, steps_for
from residency.model.encoders.learning import LEARNED_FILE, Learner, Lesson
from residency.model.encoders.pictures import SIZE, SLICES, slices_of
from residency.model.marginals import marginals
from residency.timeline import Image, Timelines, take, until

HANNOVER = Path("/work/shared/data/hannover_covid19_cxr.tar")
NO_MM = (np.nan, np.nan, np.nan)
NO_WINDOW = (np.nan, np.nan)
SPEC = ModelSpec(
    size="tiny", context=16, min_patients=10, threads=1, passes=10, note_encoder="", variants_encoder=""
)


def image(pixels: np.ndarray, spacing=NO_MM, window=NO_WINDOW) -> Image:
    return Image("DX", "", pixels, spacing, window)


@pytest.fixture(scope="module", autouse=True)
def few_steps() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_learning, "LEAST_STEPS", 40)
        yield


@pytest.fixture(scope="module")
def learned(documented: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with weights learned on the invented patients."""
    folder = tmp_path_factory.mktemp("image")
    data = reading(Timelines.open(documented), ("image",))
    lesson = Lesson(data, SPEC, marginals(data, SPEC), ATTACHMENT_KINDS.index("image"), lambda *_: None)
    torch.set_num_threads(1)
    assert learn(lesson, folder / LEARNED_FILE) > 100
    return folder


@pytest.fixture(scope="module")
def encoder(learned: Path) -> ImageEncoder:
    made = ImageEncoder()
    made.load(learned, "cpu")
    return made


def test_the_window_says_what_is_black_and_what_is_white() -> None:
    pixels = np.array([[[-200, 0], [40, 400]]], np.int16)
    shown = slices_of(image(pixels, window=(40.0, 400.0)))
    np.testing.assert_allclose(shown[0, 0, 0], 0.0)
    np.testing.assert_allclose(shown[0, -1, 0], 0.5)
    np.testing.assert_allclose(shown[0, -1, -1], 1.0)
    assert shown.shape == (1, SIZE, SIZE)


def test_an_organ_has_its_size_whatever_the_spacing() -> None:
    coarse = np.zeros((1, 100, 100), np.uint8)
    coarse[0, 40:60, 40:60] = 200
    fine = coarse.repeat(2, axis=1).repeat(2, axis=2)
    one = slices_of(image(coarse, (np.nan, 4.0, 4.0), (100.0, 200.0)))
    two = slices_of(image(fine, (np.nan, 2.0, 2.0), (100.0, 200.0)))
    np.testing.assert_allclose(one, two, atol=1e-5)
    near = slices_of(image(coarse, (np.nan, 2.0, 2.0), (100.0, 200.0)))
    assert near.sum() == pytest.approx(one.sum() / 4, rel=0.05)


def test_a_series_is_looked_at_in_a_few_slices_from_end_to_end() -> None:
    series = np.arange(100, dtype=np.uint8)[:, None, None].repeat(4, axis=1).repeat(4, axis=2)
    shown = slices_of(image(series, window=(50.0, 100.0)))
    assert len(shown) == SLICES
    assert shown[0].max() == 0.0
    assert shown[-1].min() > 0.98


def test_a_picture_without_contrast_and_one_dot_are_looked_at() -> None:
    for pixels in (np.full((1, 9, 9), 7, np.uint16), np.ones((1, 1, 1), np.uint8)):
        assert np.isfinite(slices_of(image(pixels))).all()


def test_what_was_learned_tells_apart_what_a_picture_shows(encoder: ImageEncoder) -> None:
    rng = np.random.default_rng(1)
    plain = rng.integers(0, 60, (40, 1, 16, 16)).astype(np.uint8)
    marked = plain.copy()
    marked[:, 0, 4:12, 4:12] += 150
    vectors = encoder.encode([image(pixels) for pixels in (*plain, *marked)])[0][:, 0]
    gap = vectors[40:].mean(axis=0) - vectors[:40].mean(axis=0)
    score = vectors @ gap
    assert score[40:].min() > score[:40].max()


def test_an_image_has_the_same_vector_to_the_bit_whatever_is_beside_it(encoder: ImageEncoder) -> None:
    rng = np.random.default_rng(2)
    images = [image(rng.integers(0, 255, (int(n), 20, 20)).astype(np.uint8)) for n in rng.integers(1, 12, 15)]
    together, counts = encoder.encode(images)
    assert together.shape == (15, 1, WIDTH)
    assert counts.all()
    for row, one in enumerate(images):
        np.testing.assert_array_equal(encoder.encode([one])[0][0], together[row])


def test_the_weights_are_part_of_the_digest(encoder: ImageEncoder, learned: Path, tmp_path: Path) -> None:
    again = ImageEncoder()
    again.load(learned, "cpu")
    assert again.digest == encoder.digest != ImageEncoder().digest
    assert isinstance(again, Learner)
    with pytest.raises(LineageError, match="no weights"):
        ImageEncoder().load(None, "cpu")


def test_learning_is_long_enough_and_no_longer() -> None:
    assert [steps_for(n) for n in (10, 5_000, 1_000_000)] == [40, 469, 1500]


def test_training_learns_to_look_first_and_keeps_the_weights_in_the_models_folder(
    documented: Path, now, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        train(documented, tmp_path / name, replace(SPEC, passes=1), now=now)
    path = f"encoders/image/{LEARNED_FILE}"
    assert digest_file(tmp_path / "one" / path) == digest_file(tmp_path / "two" / path)
    model, data = Model.open(tmp_path / "one"), Timelines.open(documented)
    assert model.kinds == ("image",)
    assert path in {shard.path for shard in data.manifest.shards} | {
        shard.path for shard in model_manifest(tmp_path / "one").shards
    }
    packed = reading(data, ("image",)).shards[0]
    has = np.diff(packed.attachment_offset[packed.moment_offset]) > 0
    first = np.array(
        [
            packed.moment_time[np.searchsorted(packed.attachment_offset, at, "right") - 1]
            for at in packed.attachment_offset[packed.moment_offset[:-1]][has]
        ]
    )
    seen = until(take(packed, np.flatnonzero(has)), first)
    encoded = model.attaching.encoded(data.attachments(0), seen)
    assert (encoded["image"].count > 0).any()
    found = model.encode(seen, encoded=encoded)
    risk = model.label_probability(found, found.offset[1:] - 1, np.zeros(len(first), np.float32), 0)
    assert np.isfinite(risk).all()


def model_manifest(folder: Path):
    from residency.contract.lineage import open_made

    return open_made(folder, "train", verify=True)


@pytest.mark.skipif(not HANNOVER.exists(), reason="the Hannover chest films are not here")
def test_real_chest_films_are_looked_at(encoder: ImageEncoder) -> None:
    pillow = pytest.importorskip("PIL.Image")
    films = []
    with tarfile.open(HANNOVER) as archive:
        for member in archive:
            if member.name.endswith(".png") and len(films) < 4:
                body = archive.extractfile(member).read()  # type: ignore[union-attr]
                films.append(np.array(pillow.open(BytesIO(body)).convert("L"))[None])
    shown = [slices_of(image(film)) for film in films]
    assert all(0.2 < slices.mean() < 0.8 and slices.std() > 0.1 for slices in shown)
    assert np.isfinite(encoder.encode([image(film) for film in films])[0]).all()
