"""Where identities hide besides the columns meant for them: names, headers, footers, descriptions."""

import io
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from residency.deid import Policy, deidentify, new_key
from residency.records import Feed, ingest
from residency.timeline import BuildSpec, build

NOW = datetime(2024, 1, 1, tzinfo=UTC)
N = 16
SECRETS = (
    "Ravenscroft",
    "Philippa",
    "MRN77",
    "Larkspur",
    "617-555",
    "Quill",
    "rare-kuru",
    "quilljoy",
    "GPS-4711",
)
TABLE = """
site = "north"
[[tables]]
files = "Ravenscroft_*.csv"
subject = { column = "p" }
time = { column = "day" }
events = [{ code = "LOCAL/{what}", description = "{said}", value = "v" }]
images = [{ path = "Larkspur/{image}", modality = "DX", body_site = "chest" }]
"""


def png(path: Path, number: int) -> None:
    """Write a picture with text chunks; another with EXIF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = Image.fromarray(np.full((40, 40), number * 9, np.uint8))
    if path.suffix == ".png":
        chunks = PngInfo()
        chunks.add_text("Author", "Dr. Quill")
        chunks.add_itxt("Description", "Philippa Ravenscroft", zip=True)
        pixels.save(path, pnginfo=chunks)
    else:
        exif = Image.Exif()
        exif[0x010E], exif[0x8825] = "Philippa Ravenscroft MRN77", {1: "GPS-4711"}
        pixels.save(path, exif=exif, comment=b"Larkspur")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> list[Path]:
    """Take tables and pictures with identities in every hiding place through every step."""
    tmp_path = tmp_path_factory.mktemp("places")
    new_key(tmp_path / "secret" / "deid.key")
    policy = Policy(key_file=tmp_path / "secret" / "deid.key")
    source = tmp_path / "source" / "Ravenscroft"
    lines = ["p,day,what,said,v,image"]
    for n in range(N):
        image = f"Philippa-{n}.{'png' if n % 2 else 'jpg'}"
        png(source / "Larkspur" / image, n)
        said = "Creatinine of Philippa Ravenscroft" if n == 3 else "Z creatinine"
        lines.append(f"MRN77{n:04d},2020-01-{n + 1:02d},common,{said},{n}.5,{image}")
        lines.append(
            f"MRN77{n:04d},2020-02-{n + 1:02d},{'rare-kuru' if n == 5 else 'usual'},Dr. Quill's own,{n},"
        )
    (source / "Ravenscroft_Philippa.csv").write_text("\n".join(lines) + "\n")
    fhir = tmp_path / "fhir"
    fhir.mkdir()
    people = [
        {
            "resourceType": "Patient", "id": f"MRN77{n:04d}", "birthDate": "1950-03-04", "gender": "female",
            "name": [{"family": "Ravenscroft", "given": ["Philippa"]}],
            "address": [{"line": ["12 Larkspur Lane"]}],
            "telecom": [{"system": "phone", "value": f"617-555-{n:04d}"}],
        }
        for n in range(N)
    ]  # fmt: skip
    (fhir / "Patient.ndjson").write_text("\n".join(map(json.dumps, people)))
    (tmp_path / "table.toml").write_text(TABLE)
    (tmp_path / "fhir.toml").write_text('site = "north"\n')
    feeds = [
        Feed("fhir", [fhir], tmp_path / "fhir.toml"),
        Feed("table", [tmp_path / "source" / "Ravenscroft"], tmp_path / "table.toml"),
    ]
    records, hidden, built = (tmp_path / name for name in ("records", "deidentified", "timelines"))
    ingest(records, feeds, now=NOW)
    deidentify(records, hidden, policy, now=NOW)
    build(hidden, built, BuildSpec(min_patients=3), now=NOW)
    return [records, hidden, built]


def texts(folder: Path) -> str:
    """Give every path, byte, value and footer, and every file's own metadata, below a folder."""
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        found += [path.relative_to(folder).as_posix(), path.read_bytes().decode("latin-1")]
        if path.suffix == ".parquet":
            data = pq.read_metadata(path)
            found += [str(data.metadata), str(data.schema), data.created_by]
            for group in range(data.num_row_groups):
                for column in range(data.num_columns):
                    known = data.row_group(group).column(column).statistics
                    found += (
                        [str(known.min), str(known.max)] if known is not None and known.has_min_max else []
                    )
            found += [str(one) for one in pl.read_parquet(path).rows()]
    return "\n".join(found)


def test_the_identified_folder_does_hold_what_is_looked_for(made) -> None:
    everything = texts(made[0])
    assert {"Ravenscroft", "Philippa", "MRN77", "Quill", "rare-kuru"} <= {
        one for one in SECRETS if one in everything
    }


def test_nothing_that_hid_is_in_any_byte_value_footer_or_name_of_what_follows(made) -> None:
    for folder in made[1:]:
        everything = texts(folder).lower()
        assert [one for one in SECRETS if one.lower() in everything] == []


def test_a_description_that_names_nobody_stays(made) -> None:
    codes = pl.read_parquet(made[1] / "metadata" / "codes.parquet")
    assert "LOCAL/common" in codes["code"].to_list()
    told = dict(codes.select("code", "description").iter_rows())
    assert told["LOCAL/common"] is None
    assert told.get("LOCAL/usual") is None


def test_a_code_that_few_patients_have_is_hidden_with_its_value(made) -> None:
    events = pl.read_parquet(sorted((made[1] / "data").glob("*.parquet")))
    hidden = events.filter(pl.col("code") == "UNKNOWN")
    assert hidden.height == 1
    assert hidden["numeric_value"].to_list() == [None]


def test_pictures_come_out_as_bare_pixels(made) -> None:
    stored = pl.read_parquet(sorted((made[1] / "images" / "pixels").glob("*.parquet")))
    assert stored.height == N
    for row in stored.iter_rows(named=True):
        assert len(row["data"]) == int(np.prod(row["shape"])) * np.dtype(row["dtype"]).itemsize
        with pytest.raises(OSError, match="identify"):
            Image.open(io.BytesIO(row["data"]))
