"""A simulated hospital as this room sees it, and a judge of what is found that reads the files itself.

The judge shares no code with the rules: it reads the FHIR lines as JSON, and the truth about images.
"""

import gzip
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from residency import Feed, HospitalSpec, ingest, simulate
from residency.contract.identifiers import subject_id_of
from residency.reasoning.answers import instant
from residency.reasoning.chart import Chart, chart_of
from residency.reasoning.loops import open_loops
from residency.timeline import Attachments, BuildSpec, Timelines, build
from residency.timeline.building import SOURCE_FILE

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALIKE = {
    "unacted_result": "unacted_result",
    "nodule_without_follow_up": "finding_without_follow_up",
    "pending_test": "pending_test",
    "drug_without_monitoring": "drug_without_monitoring",
    "lost_to_follow_up": "lost_to_follow_up",
}
DUE_DAYS = {
    "unacted_result": 95,
    "nodule_without_follow_up": 275,
    "pending_test": 16,
    "drug_without_monitoring": 181,
    "lost_to_follow_up": 125,
}
PLANTED_RULES = frozenset(
    (
        "tsh_very_high",
        "nodule_without_follow_up",
        "pending_at_discharge",
        "ace_inhibitor_or_diuretic_without_kidney_tests",
        "recheck_missed",
    )
)


@dataclass(frozen=True)
class Hospital:
    """What was simulated, and its timelines."""

    folder: Path
    timelines: Timelines

    @property
    def lapses(self) -> pl.DataFrame:
        return pl.read_parquet(self.folder / "hospital" / "truth" / "lapses.parquet").with_columns(
            pl.struct("source_id", "site")
            .map_elements(lambda one: subject_id_of(one["source_id"], one["site"]), pl.Int64)
            .alias("subject_id")
        )

    @cached_property
    def images(self) -> pl.DataFrame:
        return pl.read_parquet(self.folder / "hospital" / "truth" / "images.parquet")

    @cached_property
    def raw(self) -> dict[str, dict[str, list[dict[str, Any]]]]:
        """FHIR resources by patient and type, as JSON."""
        found: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
        for path in sorted((self.folder / "hospital" / "fhir").rglob("*.ndjson.gz")):
            if path.name.split(".")[0] in ("Observation", "MedicationRequest", "Encounter"):
                for row in _lines(path):
                    found[row["subject"]["reference"].removeprefix("Patient/")][row["resourceType"]].append(
                        row
                    )
        return found


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt") as file:
        yield from map(json.loads, file)


def made(folder: Path, spec: HospitalSpec, min_patients: int = 11) -> Hospital:
    """Simulate, ingest and build; of few patients, rare codes are to be kept too."""
    simulate(folder / "hospital", spec, now=NOW)
    mapping = folder / "mapping.toml"
    mapping.write_text('site_from = "folder"\n')
    feed = Feed("fhir", [folder / "hospital" / "fhir"], mapping)
    ingest(folder / "records", [feed], now=NOW)
    build(folder / "records", folder / "timelines", BuildSpec(min_patients=min_patients), now=NOW)
    return Hospital(folder, Timelines.open(folder / "timelines"))


def owner(source: str) -> str:
    """Give the patient's source id out of a record's: `Observation/north-0000004-l0`."""
    return source.partition("/")[2].rpartition("-")[0]


def moment(text: str) -> datetime:
    """Read a FHIR time as the hospital's wall clock."""
    return datetime.fromisoformat(text).replace(tzinfo=None)


def is_true(hospital: Hospital, kind: str, source: str, since: datetime, as_of: datetime) -> bool:
    """Say whether something that was found is so: by the truth, or by the hospital's own files."""
    who = owner(source)
    planted = hospital.lapses.filter(pl.col("source_id") == who)
    for name, at in planted.select("kind", "time").iter_rows():
        if ALIKE[name] == kind and abs(at - since) < timedelta(days=2):
            return True
    if kind == "finding_without_follow_up":
        return _no_second_ct(hospital, who, since, as_of)
    if kind == "drug_without_monitoring":
        return _no_control(hospital, who, source, as_of)
    return False


def _no_second_ct(hospital: Hospital, who: str, since: datetime, as_of: datetime) -> bool:
    """Whether an image had a nodule that can be seen, and no CT was made later."""
    mine = hospital.images.filter(pl.col("source_id") == who)
    day = timedelta(days=1)
    mm = pl.max_horizontal("benign_mm", "tumour_mm")
    seen = mine.filter((pl.col("time") - since).abs() < day, mm >= 4, mm < 30.5)
    later = mine.filter(pl.col("modality") == "CT", pl.col("time") > since + day, pl.col("time") <= as_of)
    return bool(len(seen)) and not len(later)


def _no_control(hospital: Hospital, who: str, source: str, as_of: datetime) -> bool:
    """Whether neither creatinine nor potassium came after the first order, and the patient did."""
    rows = hospital.raw[who]
    order = next(row for row in rows["MedicationRequest"] if row["id"] == source.partition("/")[2])
    code = order["medicationCodeableConcept"]["coding"][0]["code"]
    start = min(
        moment(row["authoredOn"])
        for row in rows["MedicationRequest"]
        if row["medicationCodeableConcept"]["coding"][0]["code"] == code
    )
    tested = [
        moment(row["effectiveDateTime"])
        for row in rows["Observation"]
        if row["code"]["coding"][0]["code"] in ("2160-0", "2823-3")
        and moment(row.get("issued", row["effectiveDateTime"])) <= as_of
    ]
    came = [moment(row["period"]["start"]) - start for row in rows["Encounter"]]
    return (
        moment(order["authoredOn"]) == start
        and not any(one > start + timedelta(days=1) for one in tested)
        and any(timedelta(days=30) < one < timedelta(days=180) for one in came)
    )


def asked_at(hospital: Hospital, rng: np.random.Generator) -> Iterator[tuple[int, int, datetime]]:
    """Give shard, patient and a time at random within the patient's records."""
    for shard, packed in enumerate(hospital.timelines.shards):
        for patient in range(packed.n_patients):
            times = packed.moment_time[packed.moments_of(patient)][1:]
            if len(times):
                at = int(times[0] + (times[-1] - times[0]) * rng.random())
                yield shard, patient, datetime(1970, 1, 1) + timedelta(microseconds=at)  # noqa: DTZ001


@dataclass(frozen=True)
class Tally:
    """What was found of what there was, and how much of what was found was so."""

    found: dict[str, int]
    planted: dict[str, int]
    true: dict[str, int]
    said: dict[str, int]

    @property
    def recall(self) -> float:
        return sum(self.found.values()) / sum(self.planted.values())

    @property
    def precision(self) -> float:
        return sum(self.true.values()) / sum(self.said.values())


def measure(hospital: Hospital, charts: "Charts", n_times: int, seed: int) -> Tally:
    """Ask when each lapse is due (recall), and all at times drawn (precision); the dead are left out."""
    tally = Tally(*(dict.fromkeys(names, 0) for names in (ALIKE, ALIKE, ALIKE.values(), ALIKE.values())))
    rng = np.random.default_rng(seed)
    for name, at, subject in hospital.lapses.select("kind", "time", "subject_id").iter_rows():
        place = hospital.timelines.locate(subject)
        chart = charts.at(place.shard, place.patient, at + timedelta(days=DUE_DAYS[name]))
        if chart.death is not None:
            continue
        loops = [loop for loop in open_loops(chart) if loop.kind == ALIKE[name]]
        tally.planted[name] += 1
        tally.found[name] += any(abs(instant(loop.since) - at) < timedelta(days=2) for loop in loops)
        _judge(hospital, chart, tally)
    for _ in range(n_times):
        for shard, patient, as_of in asked_at(hospital, rng):
            _judge(hospital, charts.at(shard, patient, as_of), tally)
    return tally


def _judge(hospital: Hospital, chart: Chart, tally: Tally) -> None:
    for loop in open_loops(chart):
        if loop.rule in PLANTED_RULES:
            kind, source = loop.kind, loop.citations[0].source
            tally.said[kind] += 1
            tally.true[kind] += is_true(hospital, kind, source, instant(loop.since), instant(chart.as_of))


@dataclass(frozen=True)
class Charts:
    """Charts of a hospital's patients at any time."""

    hospital: Hospital

    @cached_property
    def _tables(self) -> list[tuple[pl.DataFrame, Attachments]]:
        found = self.hospital.timelines
        return [
            (pl.read_parquet(path / SOURCE_FILE), found.attachments(shard))
            for shard, path in enumerate(found.paths)
        ]

    def at(self, shard: int, patient: int, as_of: datetime) -> Chart:
        records, attachments = self._tables[shard]
        found = self.hospital.timelines
        return chart_of(
            found.shards[shard],
            patient,
            (as_of - datetime(1970, 1, 1)) // timedelta(microseconds=1),  # noqa: DTZ001
            vocabulary=found.vocabulary,
            records=records,
            attachments=attachments,
        )
