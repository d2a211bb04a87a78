import dataclasses
from pathlib import Path

import numpy as np
import pytest

from residency.contract.errors import LineageError
from residency.contract.packed import STATIC, Packed

GOLDEN = Path(__file__).parents[1] / "golden" / "1" / "packed"


def one_patient() -> Packed:
    return Packed(
        subject=np.array([7]),
        moment_offset=np.array([0, 2]),
        moment_time=np.array([STATIC, 1_000_000]),
        event_offset=np.array([0, 1, 3]),
        event_code=np.array([3, 1, 2], np.int32),
        event_value=np.array([np.nan, 5.5, np.nan], np.float32),
        event_time=np.array([STATIC, 900_000, 1_000_000]),
        event_ref=np.array([0, 1, 2]),
        attachment_offset=np.array([0, 0, 0]),
        attachment_kind=np.array([], np.int8),
        attachment_ref=np.array([], np.int64),
        observation_offset=np.array([0, 1]),
        observation_start=np.array([0]),
        observation_end=np.array([2_000_000]),
        label_offset=np.array([0, 1]),
        label_time=np.array([1_000_000]),
        label_task=np.array([0], np.int16),
        label_value=np.array([1], np.float32),
    )


def same(one: Packed, other: Packed) -> bool:
    return all(
        np.array_equal(getattr(one, f.name), getattr(other, f.name), equal_nan=f.name == "event_value")
        and getattr(one, f.name).dtype == getattr(other, f.name).dtype
        for f in dataclasses.fields(Packed)
    )


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    one_patient().write(tmp_path / "shard")
    assert same(Packed.open(tmp_path / "shard"), one_patient())


def test_the_golden_packed_timeline_still_opens() -> None:
    assert same(Packed.open(GOLDEN), one_patient())


@pytest.mark.parametrize("harm", ["missing", "cut", "format"])
def test_a_harmed_shard_is_refused(tmp_path: Path, harm: str) -> None:
    shard = tmp_path / "shard"
    one_patient().write(shard)
    if harm == "missing":
        (shard / "event_code.npy").unlink()
    elif harm == "cut":
        (shard / "event_time.npy").write_bytes((shard / "event_time.npy").read_bytes()[:130])
    else:
        (shard / "packed.json").write_text('{"format": 99}')
    with pytest.raises(LineageError):
        Packed.open(shard)
