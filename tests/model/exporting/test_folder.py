"""An exported folder: others' tools read it, and read back it answers as before, to the bit."""

import json
import shutil
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from residency.contract.errors import LineageError
from residency.model import Model
from residency.model.adaptation import AdaptSpec, adapt
from residency.model.exporting import export_model, open_exported
from residency.timeline import Timelines


def _answers(model: Model, data: Timelines) -> list[np.ndarray]:
    packed = data.shards[0]
    states = model.encode(packed, np.arange(20))
    moment, days = states.offset[1:] - 1, np.linspace(0, 3, 20).astype(np.float32)
    all_targets = np.arange(len(model.targets))
    never = model.never(
        packed, np.arange(20), packed.moment_time[packed.moment_offset[1:21] - 1], all_targets
    )
    return [
        states.z.numpy(),
        model.hazards(states, moment, days, all_targets, never),
        model.label_probability(states, moment, days, 0),
    ]


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory, now: datetime) -> Path:
    out = tmp_path_factory.mktemp("exported") / "model"
    export_model(trained, out, now=now)
    return out


def test_the_model_read_back_answers_to_the_bit(model: Model, exported: Path, data: Timelines) -> None:
    back = open_exported(exported)
    assert (back.targets, back.labels, back.digest) == (model.targets, model.labels, model.digest)
    for one, other in zip(_answers(model, data), _answers(back, data), strict=True):
        assert np.array_equal(one, other)


def test_the_folder_has_what_other_tools_look_for(exported: Path, model: Model) -> None:
    config = json.loads((exported / "config.json").read_text("utf-8"))
    assert config["model_type"] == "residency"
    assert config["hidden_size"] == model.spec.shape.width
    assert config["vocab_size"] == len(model.vocabulary)
    weights = load_file(exported / "model.safetensors")
    assert set(weights) == {name for name, _ in model.network.named_parameters()}
    card = (exported / "README.md").read_text("utf-8")
    assert card.startswith("---\nlibrary_name: residency\n")
    assert "not a release" in card
    assert model.digest in card


def test_transformers_reads_the_configuration(exported: Path) -> None:
    transformers = pytest.importorskip("transformers")
    read, _ = transformers.PretrainedConfig.get_config_dict(exported)
    assert read["architectures"] == ["ResidencyModel"]


def test_our_own_manifest_need_not_travel_along(exported: Path, tmp_path: Path, model: Model) -> None:
    copy = tmp_path / "model"
    shutil.copytree(exported, copy)
    (copy / "made-from.json").unlink()
    assert open_exported(copy).digest == model.digest


@pytest.mark.parametrize("name", ["model.safetensors", "calibration.json", "vocabulary.parquet", "README.md"])
def test_an_altered_file_is_refused(exported: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "model"
    shutil.copytree(exported, copy)
    body = bytearray((copy / name).read_bytes())
    body[-1] ^= 1
    (copy / name).write_bytes(body)
    with pytest.raises(LineageError, match="altered"):
        open_exported(copy)


def test_another_kind_of_folder_is_refused(tmp_path: Path, trained: Path) -> None:
    with pytest.raises(LineageError, match=r"no config\.json"):
        open_exported(trained)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', "utf-8")
    with pytest.raises(LineageError):
        open_exported(tmp_path)


def test_an_adapted_model_is_exported_with_its_adapter(
    trained: Path, timelines: Path, data: Timelines, tmp_path: Path, now: datetime
) -> None:
    spec = AdaptSpec(rank=0, folds=2, threads=1)
    adapt(trained, timelines, tmp_path / "adapter", spec, now=now)
    export_model(tmp_path / "adapter", tmp_path / "exported", now=now)
    adapted, back = Model.open(tmp_path / "adapter"), open_exported(tmp_path / "exported")
    for one, other in zip(_answers(adapted, data), _answers(back, data), strict=True):
        assert np.array_equal(one, other)


def test_encoders_travel_with_their_weights(documented: Path, tmp_path: Path, now: datetime) -> None:
    from residency.model import ModelSpec, train

    spec = ModelSpec(
        size="tiny", context=16, min_patients=10, threads=1, passes=1, note_encoder="", image_encoder=""
    )
    train(documented, tmp_path / "model", spec, now=now)
    export_model(tmp_path / "model", tmp_path / "exported", now=now)
    before, back = Model.open(tmp_path / "model"), open_exported(tmp_path / "exported")
    assert back.kinds == before.kinds == ("variants",)
    assert np.array_equal(back.attaching.scales["variants"].mean, before.attaching.scales["variants"].mean)
