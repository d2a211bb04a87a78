"""A simulated hospital of codes alone, its timelines, a small model, its truth: for other measurements.

`bench/invented.py FOLDER [PATIENTS] [SEED] [VARIANT]` makes them; what is there already is not made again. A
folder with `timelines`, `model` and `truth` (of the demo, say) serves as it is.
"""

import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from residency import (
    BuildSpec,
    Feed,
    HospitalSpec,
    Model,
    ModelSpec,
    Timelines,
    build,
    ingest,
    simulate,
    train,
)
from residency.contract.identifiers import subject_id_of
from residency.model.adaptation import in_words_of
from residency.validation.truth import RISK_FILE

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TASKS = Path(__file__).parents[1] / "examples" / "hospital" / "tasks"
CODES = {  # each disease, as its first record is known
    "type_2_diabetes": ("ICD10CM/E11",),
    "chronic_kidney_disease": ("ICD10CM/N18",),
    "heart_failure": ("ICD10CM/I50",),
    "lung_cancer": ("ICD10CM/C34",),
    "atrial_fibrillation": ("ICD10CM/I48",),
    "coronary_disease": ("ICD10CM/I25",),
    "sepsis": ("ICD10CM/A41", "ICD10CM/R65.2"),
    "stroke": ("ICD10CM/I63",),
    "myocardial_infarction": ("ICD10CM/I21",),
}


@dataclass(frozen=True)
class Invented:
    """What was made."""

    folder: Path

    @cached_property
    def timelines(self) -> Timelines:
        """Open the timelines."""
        own = Timelines.open(self.folder / "timelines")
        finished = (self.folder / "model" / "made-from.json").exists()
        return in_words_of(own, self.model) if finished else own

    @cached_property
    def model(self) -> Model:
        """Open the model."""
        return Model.open(self.folder / "model")

    def judges(self, shard: int) -> np.ndarray:
        """Give the rows of patients of whom the model learnt nothing: held out, or of another site."""
        return np.flatnonzero(np.isin(self.timelines.split(shard), ["held_out", "external"]))

    @cached_property
    def risks(self) -> Path:
        """Give the folder with the true risks of the timelines' patients, as an examination reads them."""
        own = self.folder / "truth"
        if own.exists():
            return own
        known = self.folder / "known"
        known.mkdir(exist_ok=True)
        self.truth("risk").write_parquet(known / RISK_FILE)
        return known

    def truth(self, name: str) -> pl.DataFrame:
        """Give a table of the truth, with the patients' `subject_id`."""
        own = self.folder / "truth" / f"{name}.parquet"
        table = pl.read_parquet(own if own.exists() else self.folder / "hospital" / "truth" / own.name)
        if "subject_id" in table.columns:
            return table
        people = table.select("source_id", "site").unique().rows()
        of = pl.DataFrame(
            [(source, site, subject_id_of(source, site)) for source, site in people],
            schema={"source_id": pl.String, "site": pl.String, "subject_id": pl.Int64},
            orient="row",
        )
        return table.join(of, on=["source_id", "site"])

    def spans(self) -> dict[str, dict[int, tuple[int, int]]]:
        """Give of each disease and patient when it began and was found (µs); never: the last number."""
        never = np.iinfo(np.int64).max
        found: dict[str, dict[int, tuple[int, int]]] = {}
        rows = self.truth("states").select("disease", "subject_id", "state", pl.col("time").cast(pl.Int64))
        for disease, subject, state, time in rows.iter_rows():
            begun, known = found.setdefault(disease, {}).get(subject, (never, never))
            if state == "preclinical":
                begun = min(begun, time)
            if state in ("diagnosed", "dead"):
                known = min(known, time)
            found[disease][subject] = (begun, known)
        return found


def number_of(source_id: str) -> int:
    """Give a patient's number in the simulation."""
    return int(re.sub(r"\D", "", source_id))


def made(folder: Path, spec: HospitalSpec, *, with_model: bool = True) -> Invented:
    """Make what is not there yet."""
    if (folder / "truth").exists():
        return Invented(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "hospital" / "made-from.json").exists():
        simulate(folder / "hospital", spec, now=NOW)
    for empty in (folder / "hospital" / "fhir").rglob("*.gz"):
        if empty.stat().st_size < 60:  # of a hospital without notes
            empty.unlink()
    mapping = folder / "mapping.toml"
    mapping.write_text('site_from = "folder"\n')
    if not (folder / "records" / "made-from.json").exists():
        ingest(folder / "records", [Feed("fhir", [folder / "hospital" / "fhir"], mapping)], now=NOW)
    if not (folder / "timelines" / "made-from.json").exists():
        build(folder / "records", folder / "timelines", BuildSpec(), now=NOW)
    if with_model and not (folder / "model" / "made-from.json").exists():
        settings = ModelSpec(size="small", passes=3, threads=1)
        train(folder / "timelines", folder / "model", settings, now=NOW)
    return Invented(folder)


def hospital(n_patients: int, seed: int, variant: str = "plain") -> HospitalSpec:
    """Give the settings: no images, no notes, no genomes."""
    return HospitalSpec(
        n_patients=n_patients,
        seed=seed,
        variant=variant,  # type: ignore[arg-type]
        images=False,
        notes=False,
        genomes=False,
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        words = sys.argv[2:]
        made(Path(sys.argv[1]), hospital(*map(int, words[:2] or (4000, 11)), *words[2:]))
