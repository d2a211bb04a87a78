import tarfile
from collections.abc import Callable
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from PIL import Image

from residency.contract.errors import SpecError
from residency.contract.identifiers import subject_id_of

at = datetime.fromisoformat
SHARED = Path(__file__).parents[3] / "shared" / "data"
EXAMPLES = Path(__file__).parents[2] / "examples"
MAPPING = """
[[tables]]
files = "*.csv"
subject = { column = "p" }
time = { anchor = "2020-03-01T12:00:00", minus = "back", unit = "d" }
source = "image/{image}"
images = [{ path = "png/{image}.png", modality = "{m}", body_site = "chest" }]

[[tables.events]]
code = "LOCAL/SEEN"
needs = ["seen"]
"""
CANARY = "Canary"


def png(array: np.ndarray, **more: Any) -> bytes:
    body = BytesIO()
    Image.fromarray(array, **more).save(body, "PNG")
    return body.getvalue()


def images(out: Path) -> pl.DataFrame:
    return pl.read_parquet(sorted((out / "images").glob("*.parquet"))).sort("source")


def voxels(out: Path, digest: str) -> np.ndarray:
    row = pq.read_table(out / f"images/pixels/{digest}.parquet").to_pylist()[0]
    return np.frombuffer(row["data"], row["dtype"]).reshape(row["shape"])


GREY = np.arange(12, dtype=np.uint8).reshape(3, 4)
DEEP = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
COLOUR = np.stack([GREY, GREY * 2, GREY * 3], axis=-1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A table that names pictures: grey, 16 bits, colour, absent, broken, and one outside the folder."""
    (tmp_path / "in/png").mkdir(parents=True)
    for name, array in (("a", GREY), ("b", DEEP), ("c", COLOUR)):
        (tmp_path / f"in/png/{name}.png").write_bytes(png(array))
    (tmp_path / "in/png/broken.png").write_bytes(png(GREY)[:45])
    rows = ["a,0", "b,-2", "c,1.5", "absent,0", "broken,0", "../../secret,0", ",0"]
    body = "\n".join(f"p{n},cr,{row},y" for n, row in enumerate(rows))
    (tmp_path / "in/data.csv").write_text(f"p,m,image,back,seen\n{body}\n")
    return tmp_path / "in"


@pytest.fixture
def read(folder: Path, take: Any, tmp_path: Path) -> Callable[..., Any]:
    def run(path: Path = folder, out: str = "out") -> tuple[Path, Any]:
        return tmp_path / out, take("table", path, mapping=MAPPING, out=out)

    return run


def test_pictures_that_a_table_names_come_in_and_others_are_counted(read: Any) -> None:
    out, manifest = read()
    found = images(out).to_dicts()
    assert [row["source"] for row in found] == ["image/a", "image/b", "image/c"]
    assert [row["time"] for row in found] == [
        at("2020-03-01T12:00"),
        at("2020-03-03T12:00"),
        at("2020-02-29T00:00"),
    ]
    assert found[0]["subject_id"] == subject_id_of("p0", "main")
    assert {(row["modality"], row["body_site"]) for row in found} == {("CR", "CHEST")}
    assert all(np.isnan(row["spacing_mm"]).all() for row in found)
    np.testing.assert_array_equal(voxels(out, found[0]["pixels"])[0], GREY)
    np.testing.assert_array_equal(voxels(out, found[1]["pixels"])[0], DEEP)
    grey = np.asarray(Image.fromarray(COLOUR).convert("L")).astype(int)
    assert np.abs(voxels(out, found[2]["pixels"])[0] - grey).max() <= 1
    assert manifest.rows.dropped == {
        "image: no such file": 1,
        "image: cannot be read": 1,
        "image: a path that leads out of the folder": 1,
    }
    assert (manifest.rows.read, manifest.rows.kept) == (7 + 6, 7 + 3)


def test_an_archive_gives_the_same_bytes_in_whatever_order_it_was_packed(
    read: Any, folder: Path, tmp_path: Path, invented: Any
) -> None:
    _, usual = read()
    for name, order in (("table first", ["data.csv", "png"]), ("table last", ["png", "data.csv"])):
        with tarfile.open(tmp_path / f"{name}.tar", "w") as archive:
            for part in order:
                archive.add(folder / part, f"./{part}")
        _, packed = read(tmp_path / f"{name}.tar", name)
        assert invented.digests(packed) == invented.digests(usual)
        assert packed.rows == usual.rows


def test_a_picture_without_a_time_in_the_mapping_is_refused(take: Any, folder: Path) -> None:
    mapping = (
        "[[tables]]\nfiles = '*.csv'\nsubject = { column = 'p' }\nimages = [{ path = 'png/{image}.png' }]"
    )
    with pytest.raises(SpecError, match="time is missing"):
        take("table", folder, mapping=mapping)


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared data beside the project")
def test_the_radiographs_of_hannover_come_in(take: Any, tmp_path: Path) -> None:
    archive = SHARED / "hannover_covid19_cxr.tar"
    manifest = take("table", archive, mapping=(EXAMPLES / "hannover/mapping.toml").read_text())
    found = images(tmp_path / "out")
    assert (len(found), found["subject_id"].n_unique()) == (243, 71)
    assert manifest.rows.dropped == {}
    row = found.filter(pl.col("source") == "image/262a70ca").to_dicts()[0]
    with tarfile.open(archive) as packed:
        member = packed.extractfile("png/262a70ca.png")
        assert member is not None
        expected = np.asarray(Image.open(member).convert("L"))
    np.testing.assert_array_equal(voxels(tmp_path / "out", row["pixels"])[0], expected)
