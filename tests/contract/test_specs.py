import dataclasses
from pathlib import Path

import pytest

from residency.contract import specs
from residency.contract.errors import SpecError


@specs.spec
class Layer:
    width: int = 8
    share: float = 0.5


@specs.spec
class Network:
    name: str
    layers: tuple[Layer, ...] = ()
    note: str | None = None


def test_every_wrong_key_is_named_at_once_and_no_value() -> None:
    with pytest.raises(SpecError) as caught:
        specs.read(Network, {"nmae": "canary", "layers": [{"width": "canary"}, {"depth": 1}]}, "net.toml")
    message = str(caught.value)
    assert all(part in message for part in ("name", "nmae", "layers.0.width", "layers.1.depth", "net.toml"))
    assert "canary" not in message


def test_a_spec_is_frozen_and_by_keyword() -> None:
    network = specs.read(Network, {"name": "a", "layers": [{"share": 1}]})
    assert network.layers[0].share == 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        network.name = "b"  # type: ignore[misc]


def test_text_that_looks_like_a_number_is_no_number() -> None:
    with pytest.raises(SpecError, match="width"):
        specs.read(Layer, {"width": "8"})
    with pytest.raises(SpecError, match="width"):
        specs.read(Layer, {"width": True})


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_text("width = ")
    with pytest.raises(SpecError, match=r"spec\.toml"):
        specs.load(Layer, tmp_path / "spec.toml")
    with pytest.raises(SpecError, match=r"absent\.toml"):
        specs.load(Layer, tmp_path / "absent.toml")


def test_the_digest_hangs_on_values_alone() -> None:
    assert specs.digest(Layer()) == specs.digest(specs.read(Layer, {"share": 0.5, "width": 8}))
    assert specs.digest(Layer()) != specs.digest(Layer(width=9))
    assert specs.plain(Network(name="a", layers=(Layer(),))) == {
        "name": "a",
        "layers": [{"width": 8, "share": 0.5}],
        "note": None,
    }
