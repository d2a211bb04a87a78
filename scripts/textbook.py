"""In: a simulated hospital. Out: the textbook's pictures: precursors of the diagnosis, cases and controls.

`python scripts/textbook.py HOSPITAL docs/images/simulation`. Values are read from the hospital's own files
(of the site that reports conventional units), days of diagnosis and what treatments would do from its truth.
A control is of the same sex, within four years of age, seen at the case's day and free of the disease by
then; their clock is the case's. Bands are 95% intervals of the mean over patients.
"""

import argparse
import gzip
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import msgspec
import numpy as np
import polars as pl
from matplotlib.axes import Axes

from residency.simulation.genome import genomes
from residency.simulation.pharmacogenes import genetic_score

SITE = "north"
YEAR = 365.25
COLOURS = {"cases": "#b2182b", "controls": "#2166ac"}
CHRONIC = {
    "type_2_diabetes": [("4548-4", "HbA1c, %"), ("2345-7", "glucose, mg/dL")],
    "chronic_kidney_disease": [("2160-0", "creatinine, mg/dL"), ("9318-7", "log urine albumin, mg/g")],
    "heart_failure": [("33762-6", "log NT-proBNP, pg/mL"), ("8867-4", "heart rate, /min")],
    "lung_cancer": [("718-7", "haemoglobin, g/dL"), ("1988-5", "log C-reactive protein, mg/dL")],
    "atrial_fibrillation": [("8867-4", "heart rate, /min"), ("33762-6", "log NT-proBNP, pg/mL")],
    "coronary_disease": [("67151-1", "log troponin T, ng/L"), ("R07.9", "chest pain coded, per visit")],
}
ACUTE = {
    "sepsis": [
        ("8867-4", "heart rate, /min"),
        ("8310-5", "temperature, °C"),
        ("2524-7", "log lactate, mmol/L"),
    ],
    "myocardial_infarction": [("67151-1", "log troponin T, ng/L")],
}


@dataclass(frozen=True)
class Hospital:
    """What is read of a hospital.

    Attributes:
        people: `source_id`, `male`, `born`, `first`, `last`, `number`.
        values: `source_id`, `code`, `time`, `value`.
        truth: its tables by name.
        seed: of the hospital.
    """

    people: pl.DataFrame
    values: pl.DataFrame
    truth: dict[str, pl.DataFrame]
    seed: int


def resources(folder: Path, kind: str) -> Iterable[dict]:
    """Read the resources of one type."""
    for path in sorted((folder / "fhir" / SITE).glob(f"{kind}.*.ndjson.gz")):
        for line in gzip.decompress(path.read_bytes()).splitlines():
            yield msgspec.json.decode(line)


def read(folder: Path) -> Hospital:
    """Read people, values, complaints and the truth."""
    visits = [
        (one["subject"]["reference"][8:], one["period"]["start"][:19])
        for one in resources(folder, "Encounter")
    ]
    seen = pl.DataFrame(visits, schema=["source_id", "time"], orient="row").with_columns(
        pl.col("time").str.to_datetime()
    )
    people = pl.DataFrame(
        [(one["id"], one["gender"] == "male", one["birthDate"]) for one in resources(folder, "Patient")],
        schema=["source_id", "male", "born"],
        orient="row",
    ).with_columns(pl.col("born").str.to_datetime(), number=pl.col("source_id").str.slice(6).cast(pl.Int64))
    span = seen.group_by("source_id").agg(first=pl.col("time").min(), last=pl.col("time").max())
    truth = {path.stem: pl.read_parquet(path) for path in (folder / "truth").glob("*.parquet")}
    pain = _complaints(folder, seen)
    seed = int(msgspec.json.decode((folder / "made-from.json").read_bytes())["spec"]["seed"])
    return Hospital(people.join(span, on="source_id"), pl.concat([_numbers(folder), pain]), truth, seed)


def _numbers(folder: Path) -> pl.DataFrame:
    wanted = {code for pairs in (*CHRONIC.values(), *ACUTE.values()) for code, _ in pairs} | {"6301-6"}
    rows = []
    for one in resources(folder, "Observation"):
        code = one["code"]["coding"][0]["code"]
        if code in wanted and "valueQuantity" in one:
            value = float(one["valueQuantity"]["value"])
            rows.append((one["subject"]["reference"][8:], code, one["effectiveDateTime"][:19], value))
    table = pl.DataFrame(rows, schema=["source_id", "code", "time", "value"], orient="row")
    return table.with_columns(pl.col("time").str.to_datetime())


def _complaints(folder: Path, seen: pl.DataFrame) -> pl.DataFrame:
    """Give 1 for each visit day on which chest pain is coded, else 0."""
    days = {
        (one["subject"]["reference"][8:], one["recordedDate"][:10])
        for one in resources(folder, "Condition")
        if one["code"]["coding"][0]["code"] == "R07.9"
    }
    told = [float((who, str(time)[:10]) in days) for who, time in seen.iter_rows()]
    return seen.select("source_id", pl.lit("R07.9").alias("code"), "time", pl.Series("value", told))


def cases(hospital: Hospital, disease: str) -> pl.DataFrame:
    """Give who is diagnosed while seen, with the day."""
    state = hospital.truth["states"].filter((pl.col("disease") == disease) & (pl.col("state") == "diagnosed"))
    found = hospital.people.join(state.select("source_id", index="time"), on="source_id")
    return found.filter((pl.col("index") > pl.col("first")) & (pl.col("index") <= pl.col("last")))


def controls(hospital: Hospital, disease: str, ill: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Draw two controls for each case."""
    state = hospital.truth["states"].filter((pl.col("disease") == disease) & (pl.col("state") == "diagnosed"))
    found = state.select("source_id", found="time")
    pool = hospital.people.join(found, on="source_id", how="left")
    near = ill.select("male", "born", "index").join(pool, on="male", suffix="_of", how="inner")
    near = near.filter(
        ((pl.col("born") - pl.col("born_of")).abs() < pl.duration(days=4 * 365))
        & (pl.col("first") <= pl.col("index"))
        & (pl.col("index") <= pl.col("last"))
        & (pl.col("found").is_null() | (pl.col("found") > pl.col("index")))
    )
    order = pl.Series("order", rng.random(len(near)))
    return (
        near.with_columns(order).sort("order").group_by("index", "born").head(2).select("source_id", "index")
    )


def curve(hospital: Hospital, group: pl.DataFrame, code: str, unit: tuple[float, np.ndarray]) -> pl.DataFrame:
    """Give the mean over patients, and its half interval, in bins of days from each patient's index."""
    days, edges = unit
    value = (
        pl.col("value").log()
        if code in ("9318-7", "33762-6", "1988-5", "67151-1", "2524-7")
        else pl.col("value")
    )
    near = hospital.values.filter(pl.col("code") == code).join(
        group.select("source_id", "index"), on="source_id"
    )
    when = (pl.col("time") - pl.col("index")).dt.total_seconds() / (86_400 * days)
    near = near.with_columns(value=value, when=when)
    near = near.filter((pl.col("when") >= edges[0]) & (pl.col("when") < edges[-1]))
    where = np.searchsorted(edges, near["when"].to_numpy(), side="right") - 1
    each = (
        near.with_columns(bin=pl.Series(where))
        .group_by("source_id", "index", "bin")
        .agg(pl.col("value").mean())
    )
    table = each.group_by("bin").agg(
        n=pl.len(), mean=pl.col("value").mean(), half=1.96 * pl.col("value").std() / pl.len().sqrt()
    )
    middle = (edges[:-1] + edges[1:]) / 2
    return (
        table.filter(pl.col("n") >= 8)
        .sort("bin")
        .with_columns(x=pl.col("bin").map_elements(lambda b: middle[b], pl.Float64))
    )


def draw(axes: Axes, table: pl.DataFrame, name: str, colour: str) -> None:
    """Draw one curve with its band."""
    x, mean, half = (table[column].to_numpy() for column in ("x", "mean", "half"))
    axes.plot(x, mean, color=colour, label=name, linewidth=1.6)
    axes.fill_between(x, mean - half, mean + half, color=colour, alpha=0.2, linewidth=0)


def precursors(hospital: Hospital, disease: str, out: Path, rng: np.random.Generator) -> None:
    """Draw the precursors of one disease."""
    acute = disease in ACUTE
    panels = ACUTE[disease] if acute else CHRONIC[disease]
    unit = (1 / 24, np.arange(-36, 37, 4.0)) if acute else (YEAR, np.arange(-5, 3.1, 0.5))
    ill = cases(hospital, disease)
    groups = {"cases": ill, "controls": controls(hospital, disease, ill, rng)}
    figure, every = plt.subplots(1, len(panels), figsize=(3.6 * len(panels), 2.5), squeeze=False)
    for axes, (code, label) in zip(every[0], panels, strict=True):
        for name, group in groups.items():
            if not (acute and name == "controls"):
                draw(axes, curve(hospital, group, code, unit), name, COLOURS[name])
            else:
                years = (YEAR, np.array([-5.0, 0.0]))
                usual = curve(hospital, group, code, years)
                axes.axhline(
                    usual["mean"][0], color=COLOURS[name], label="controls, all visits", linewidth=1.6
                )
        axes.axvline(0, color="grey", linewidth=0.7, linestyle=":")
        axes.set_ylabel(label)
        axes.set_xlabel("hours from recognition" if acute else "years from diagnosis")
    every[0][0].legend(frameon=False, fontsize=8)
    save(figure, out / f"{disease}.png")
    print(disease, len(ill), "cases")


def save(figure: plt.Figure, path: Path) -> None:
    """Write a small picture."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=80, metadata={"Software": None})
    plt.close(figure)


def treatments(hospital: Hospital, out: Path) -> None:
    """Draw what each treatment truly does, and what a comparison without adjustment says."""
    table = hospital.truth["treatments"]
    pairs = table.select("treatment", "outcome").unique(maintain_order=True).rows()
    figure, axes = plt.subplots(figsize=(6.2, 2.7))
    for y, (treatment, outcome) in enumerate(pairs):
        mine = table.filter((pl.col("treatment") == treatment) & (pl.col("outcome") == outcome))
        drug, other = (mine.filter(pl.col("arm") == arm) for arm in ("drug", "alternative"))
        truly = drug["risk_5y"].mean() - other["risk_5y"].mean()
        low, high, naive = _naive(mine)
        axes.plot([low, high], [y, y], color=COLOURS["controls"], linewidth=2)
        axes.plot(
            naive,
            y,
            "o",
            color=COLOURS["controls"],
            label="treated minus untreated, as they came" if y == 0 else None,
        )
        axes.plot(truly, y, "D", color=COLOURS["cases"], label="truth, same people" if y == 0 else None)
        print(treatment, outcome, f"true {truly:.3f} naive {naive:.3f} [{low:.3f}, {high:.3f}] n {len(drug)}")
    axes.set_yticks(
        range(len(pairs)), [f"{treatment}: {outcome.replace('_', ' ')}" for treatment, outcome in pairs]
    )
    axes.axvline(0, color="grey", linewidth=0.7, linestyle=":")
    axes.set_xlabel("difference of the chance within five years")
    axes.invert_yaxis()
    axes.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(0, 1.22), ncol=2)
    save(figure, out / "treatments.png")


def _naive(mine: pl.DataFrame) -> tuple[float, float, float]:
    """Compare what came within five years among those who took each arm; 95% interval."""
    taken = mine.filter("taken")
    came = (taken["event_time"] - taken["time_zero"]).dt.total_days().fill_null(10**6) <= 1825
    drug = (taken["arm"] == "drug").to_numpy()
    p, q = came.to_numpy()[drug], came.to_numpy()[~drug]
    half = 1.96 * np.sqrt(p.var() / len(p) + q.var() / len(q))
    middle = p.mean() - q.mean()
    return float(middle - half), float(middle + half), float(middle)


def genetics(hospital: Hospital, out: Path) -> None:
    """Draw how genomes show: the INR after the start of warfarin, and infarctions again on clopidogrel."""
    table = hospital.truth["treatments"].filter(pl.col("arm") == "drug")
    numbers = table["source_id"].str.slice(6).cast(pl.Int64).to_numpy()
    unique, back = np.unique(numbers, return_inverse=True)
    count = genomes(hospital.seed, unique).count
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.5))
    over = genetic_score("warfarin_over", count)[back]
    begun = table.with_columns(sensitive=pl.Series(over > 0.25), index=pl.col("time_zero"))
    begun = begun.filter((pl.col("outcome") == "bleeding") & pl.col("taken"))
    edges = np.array([0, 6, 10, 18, 35, 70, 130, 200, 300.0])
    for sensitive, name in ((True, "needs much less"), (False, "others")):
        mine = begun.filter(pl.col("sensitive") == sensitive)
        draw(
            left,
            curve(hospital, mine, "6301-6", (1.0, edges)),
            name,
            COLOURS["cases" if sensitive else "controls"],
        )
    left.set(xlabel="days on warfarin", ylabel="INR")
    left.legend(frameon=False, fontsize=8)
    loss = genetic_score("clopidogrel_loss", count)[back]
    again = table.with_columns(loss=pl.Series(loss)).filter(pl.col("outcome") == "reinfarction")
    groups = [again.filter(pl.col("loss") == 0), again.filter((pl.col("loss") > 0) & (pl.col("loss") < 1))]
    groups.append(again.filter(pl.col("loss") == 1))
    risks = [100 * group["risk_5y"].mean() if len(group) else np.nan for group in groups]
    right.bar(["normal", "intermediate", "poor"], risks, color=COLOURS["controls"], width=0.6)
    right.set(xlabel="CYP2C19 metabolism", ylabel="infarction again in 5 years\non clopidogrel, %")
    save(figure, out / "genomes.png")
    print("CYP2C19 normal, intermediate, poor:", [len(group) for group in groups], np.round(risks, 1))


def main() -> None:
    """Draw all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("hospital", type=Path)
    parser.add_argument("out", type=Path)
    paths = parser.parse_args()
    paths.out.mkdir(parents=True, exist_ok=True)
    plt.rcParams.update({"font.size": 8})
    hospital, rng = read(paths.hospital), np.random.default_rng(0)
    for disease in (*CHRONIC, *ACUTE):
        precursors(hospital, disease, paths.out, rng)
    treatments(hospital, paths.out)
    genetics(hospital, paths.out)


if __name__ == "__main__":
    main()
