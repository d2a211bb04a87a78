import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from residency.cli.app import app
from residency.contract import specs
from residency.contract.errors import InputError, PluginError, SpecError
from residency.contract.identifiers import subject_id_of
from residency.contract.plugins import SOURCES
from residency.flow import IngestSpec
from residency.records import Feed, ingest

TABLE = """
[[tables]]
files = "*.csv"
subject = { column = "p" }
time = { column = "t" }
measures = { v = { code = "LOINC/2160-0", unit = "mg/dL" } }
"""


@pytest.fixture
def ward(invented: Any, tmp_path: Path) -> dict[str, Path]:
    """FHIR of one site, a table of the same patients, and the mappings."""
    invented.ndjson(tmp_path / "fhir/north/x.ndjson", invented.ward(2))
    (tmp_path / "csv/north").mkdir(parents=True)
    (tmp_path / "csv/north/x.csv").write_text("p,t,v\np0,2020-01-02T08:00:00,1.5\np1,2020-01-03,2\n")
    (tmp_path / "sites.toml").write_text('site_from = "folder"\nsites = { north = "N" }\n')
    (tmp_path / "table.toml").write_text(TABLE)
    return {name: tmp_path / name for name in ("fhir", "csv", "sites.toml", "table.toml", "out")}


def feeds(ward: dict[str, Path]) -> list[Feed]:
    return [
        Feed("fhir", [ward["fhir"]], ward["sites.toml"]),
        Feed("table", [ward["csv"]], ward["table.toml"]),
    ]


def test_a_patient_is_one_across_feeds_and_the_first_mapping_names_the_sites(
    ward: dict[str, Path], invented: Any, now: Any
) -> None:
    manifest = ingest(ward["out"], feeds(ward), now=now)
    events = invented.events(ward["out"])
    assert set(events["subject_id"]) == {subject_id_of(f"p{n}", "N") for n in range(2)}
    assert manifest.rows.kept == len(invented.ward(2)) + 2
    assert [feed["source"] for feed in manifest.spec["feeds"]] == ["fhir", "table"]


def test_another_mapping_of_a_further_feed_is_another_result(ward: dict[str, Path], now: Any) -> None:
    one = ingest(ward["out"], feeds(ward), now=now)
    ward["table.toml"].write_text(TABLE.replace("2160-0", "2345-7"))
    other = ingest(ward["out"].with_name("two"), feeds(ward), now=now)
    assert one.identity != other.identity


@pytest.mark.parametrize(
    "more",
    ["split_salt = 'x'", "[observation]\ngap_days = 1.0", "[units]\n'LOINC/2160-0' = 'g/L'"],
    ids=["split", "observation", "units"],
)
def test_feeds_that_contradict_each_other_are_refused(ward: dict[str, Path], now: Any, more: str) -> None:
    ward["sites.toml"].write_text('site_from = "folder"\n[units]\n"LOINC/2160-0" = "mg/dL"\n')
    ward["table.toml"].write_text(more + "\n" + TABLE if "=" in more.split("\n")[0] else TABLE + more)
    with pytest.raises(SpecError):
        ingest(ward["out"], feeds(ward), now=now)
    assert not ward["out"].exists()


def test_no_feed_is_refused(tmp_path: Path, now: Any) -> None:
    with pytest.raises(InputError):
        ingest(tmp_path / "out", [], now=now)


def test_a_flow_names_feeds_relative_to_itself_and_the_simulated_hospitals_by_default(tmp_path: Path) -> None:
    spec = specs.read(
        IngestSpec, {"source": "fhir", "also": [{"source": "dicom"}, {"source": "vcf", "paths": ["v"]}]}
    )
    found = [feed.feed(tmp_path, tmp_path / "hospital") for feed in (spec, *spec.also)]
    assert [feed.source for feed in found] == ["fhir", "dicom", "vcf"]
    assert [list(feed.paths) for feed in found] == [
        [tmp_path / "hospital/fhir"], [tmp_path / "hospital/dicom"], [tmp_path / "v"],
    ]  # fmt: skip


def test_a_command_takes_further_feeds_with_their_mappings(ward: dict[str, Path], invented: Any) -> None:
    given = ["ingest", ward["out"], ward["fhir"], "--source", "fhir", "--mapping", ward["sites.toml"]]
    more = ["--also", f"table={ward['csv']}", "--also-mapping", f"table={ward['table.toml']}"]
    done = CliRunner().invoke(app, [str(one) for one in (*given, *more)])
    assert done.exit_code == 0, done.output
    assert invented.events(ward["out"])["code"].str.starts_with("LOINC").sum() == 12
    assert CliRunner().invoke(app, [str(one) for one in (*given, "--also", "table")]).exit_code == 2
    assert CliRunner().invoke(app, [str(one) for one in (*given, *more[2:])]).exit_code == 2


def test_a_source_whose_extra_is_missing_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("residency.records.dicom", "pydicom"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(PluginError, match=r"residency\[imaging\]"):
        SOURCES.get("dicom")
