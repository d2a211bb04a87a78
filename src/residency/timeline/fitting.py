"""In: event shards and who is a train patient. Out: the vocabulary: codes, ancestors, counts, knots."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from residency.contract.codes import BIRTH, DEATH, UNKNOWN_CODE
from residency.timeline.ancestry import Ancestry, ancestry_of
from residency.timeline.knots import hash_of, knots_of, sample_of
from residency.timeline.segments import offsets
from residency.timeline.shards import read
from residency.timeline.vocabulary import Vocabulary

_COLUMNS: Final = ("subject_id", "time", "code", "numeric_value", "unit")
_KINDS: Final = {
    "nodes": pl.Schema({"node": pl.String(), "n_patients": pl.Int64(), "n_events": pl.Int64()}),
    "units": pl.Schema(
        {"code": pl.String(), "unit": pl.String(), "n_patients": pl.Int64(), "n_values": pl.Int64()}
    ),
    "values": pl.Schema(
        {"code": pl.String(), "unit": pl.String(), "value": pl.Float32(), "hash": pl.UInt64()}
    ),
}


@dataclass(frozen=True)
class Tally:
    """What train patients of one or more shards tell of codes.

    Attributes:
        nodes: patients and events of each code and each ancestor (`node`), those of codes below included.
        units: patients and values of each code in each unit.
        values: a bounded sample of values of each code and unit.
    """

    nodes: pl.DataFrame
    units: pl.DataFrame
    values: pl.DataFrame

    @classmethod
    def empty(cls) -> "Tally":
        """Give what no shard tells."""
        return cls(**{name: pl.DataFrame(schema=schema) for name, schema in _KINDS.items()})

    def plus(self, other: "Tally") -> "Tally":
        """Add what other shards, with other patients, tell."""
        nodes = pl.concat([self.nodes, other.nodes]).group_by("node").sum().sort("node")
        units = pl.concat([self.units, other.units]).group_by("code", "unit").sum().sort("code", "unit")
        return type(self)(nodes, units, sample_of(pl.concat([self.values, other.values])))

    def write(self, folder: Path) -> None:
        """Write the three tables; the folder appears whole."""
        making = folder.with_suffix(".tmp")
        making.mkdir(parents=True, exist_ok=True)
        for name in _KINDS:
            getattr(self, name).write_parquet(making / f"{name}.parquet")
        making.rename(folder)

    @classmethod
    def read(cls, folder: Path) -> "Tally":
        """Read what `write` wrote."""
        return cls(**{name: pl.read_parquet(folder / f"{name}.parquet") for name in _KINDS})


def tally(shard: Path, train: pl.Series, ancestry: Ancestry) -> Tally:
    """Count one shard.

    Args:
        shard: an events file.
        train: `subject_id` of the train patients.
        ancestry: ancestors of codes.
    """
    codes, units = pl.Categorical(pl.Categories.random()), pl.Categorical(pl.Categories.random())
    events = (
        read(shard, _COLUMNS)
        .cast({"code": codes, "unit": units})
        .filter(pl.col("subject_id").is_in(train.implode()))
    )
    pairs = events.group_by("subject_id", "code").len()
    closure = ancestry.closure(pairs["code"].unique().cast(pl.String).sort()).cast({"code": codes})
    nodes = (
        pairs.join(closure, on="code")
        .group_by("node")
        .agg(n_patients=pl.col("subject_id").n_unique(), n_events=pl.col("len").sum())
        .cast(_KINDS["nodes"])
        .sort("node")
    )
    valued = events.filter(pl.col("numeric_value").is_finite())
    counted = (
        valued.group_by("code", "unit")
        .agg(n_patients=pl.col("subject_id").n_unique(), n_values=pl.len())
        .cast(_KINDS["units"])  # categories back to text
        .sort("code", "unit")
    )
    return Tally(nodes, counted, sample_of(_with_hash(valued)).cast(_KINDS["values"]))


def _with_hash(valued: pl.DataFrame) -> pl.DataFrame:
    time = valued["time"].cast(pl.Int64).fill_null(0).to_numpy()
    value = valued["numeric_value"].to_numpy()
    hashes = hash_of(valued["subject_id"].to_numpy(), time, value)
    return valued.select("code", "unit", value="numeric_value").with_columns(hash=pl.Series(hashes))


def vocabulary_of(tally: Tally, codes: pl.DataFrame, *, min_patients: int, n_knots: int) -> Vocabulary:
    """Choose the codes, most frequent first, and fit their values.

    A code, or an ancestor, enters with `min_patients` train patients at or below it; the birth and the death
    always do. A code's unit is the stated one, else that of most values. Knots need `min_patients` too.

    Args:
        tally: what all train patients tell.
        codes: `contract.schema.CODES`.
        min_patients: 1 or more.
        n_knots: 2 or more.
    """
    ancestry = ancestry_of(codes)
    rows = _chosen(tally.nodes, min_patients)
    names = tuple(rows["node"])
    index = {code: place for place, code in enumerate(names)}
    ancestors = [[index[above] for above in ancestry.ancestors(code) if above in index] for code in names]
    described = rows.select(code="node").join(codes, on="code", how="left", maintain_order="left")
    units = _units(described, tally.units)
    enough = tally.units.filter(pl.col("n_patients") >= min_patients)
    knots = _knots(
        tally.values.join(enough, on=["code", "unit"], how="semi", nulls_equal=True), names, units, n_knots
    )
    return Vocabulary(
        codes=names,
        descriptions=tuple(described["description"].fill_null("")),
        units=units,
        n_patients=rows["n_patients"].to_numpy(),
        n_events=rows["n_events"].to_numpy(),
        ancestor_offset=offsets(np.array([len(above) for above in ancestors], np.int64)),
        ancestor_index=np.array([item for above in ancestors for item in above], np.int32),
        knot_offset=offsets(np.array([len(values) for values, _ in knots], np.int64)),
        knots=np.concatenate([values for values, _ in knots]),
        levels=np.concatenate([levels for _, levels in knots]),
        also=_also(codes, index, ancestry),
    )


def _chosen(nodes: pl.DataFrame, min_patients: int) -> pl.DataFrame:
    """Give the rows of the vocabulary, in the order of their indices."""
    always = pl.DataFrame({"node": [BIRTH, DEATH]})
    counted = always.join(nodes, on="node", how="left", maintain_order="left").fill_null(0)
    many = nodes.filter(
        (pl.col("n_patients") >= min_patients) & ~pl.col("node").is_in([BIRTH, DEATH, UNKNOWN_CODE])
    )
    rows = pl.concat([counted, many]).sort(["n_patients", "node"], descending=[True, False])
    first = pl.DataFrame({"node": [UNKNOWN_CODE], "n_patients": [0], "n_events": [0]}, schema=rows.schema)
    return pl.concat([first, rows])


def _units(described: pl.DataFrame, counted: pl.DataFrame) -> tuple[str | None, ...]:
    """Give each code's unit: the stated one, else that of most values."""
    common = (
        counted.sort(["code", "n_values", "unit"], descending=[False, True, False], nulls_last=True)
        .group_by("code", maintain_order=True)
        .first()
        .select("code", common="unit")
    )
    joined = described.join(common, on="code", how="left", maintain_order="left")
    return tuple(joined.select(pl.coalesce("unit", "common")).to_series())


def _knots(
    values: pl.DataFrame, names: tuple[str, ...], units: tuple[str | None, ...], n_knots: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    wanted = pl.DataFrame({"code": names, "unit": units}, schema={"code": pl.String(), "unit": pl.String()})
    kept = values.join(wanted, on=["code", "unit"], how="semi", nulls_equal=True)
    fitted = {
        str(key[0]): knots_of(group["value"].to_numpy(), n_knots)
        for key, group in kept.sort("code", "value").group_by("code", maintain_order=True)
    }
    nothing = np.zeros(0, np.float32)
    return [fitted.get(code, (nothing, nothing)) for code in names]


def _also(codes: pl.DataFrame, index: Mapping[str, int], ancestry: Ancestry) -> dict[str, int]:
    """Give what each listed code without an index is read as, where its spelling alone would not tell."""
    spelled = Ancestry({})
    found = {}
    for code in codes["code"]:
        if code in index:
            continue
        nearest = next((above for above in ancestry.ancestors(code) if above in index), None)
        if nearest is not None and nearest != next((a for a in spelled.ancestors(code) if a in index), None):
            found[code] = index[nearest]
    return found
