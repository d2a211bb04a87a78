"""In: a folder that a step made, and who leaves. Out: the same folder without them; only their files change.

New files and the new manifest are made beside (`.withdrawing`), flushed, and renamed as one (`.withdrawn`):
from then on a killed run is taken up again and only puts them in place. The manifest comes last.
"""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from residency.contract import schema
from residency.contract.digests import digest_tree
from residency.contract.durable import flush, flush_folder, remove
from residency.contract.lineage import Manifest, Shard
from residency.deid.handling import RiskRules
from residency.deid.risk import RISK_FILE, remeasured, write_risk
from residency.timeline.leaving import holds, leave_out
from residency.timeline.timelines import ENCODINGS
from residency.withdrawal.tracing import STAGED, STAGING, Made, with_before

_DICOM: Final = ".dcm"
_PACKED: Final = "packed.json"
_IMAGES: Final = "images.parquet"
_EMPTY_GO: Final = ("data", "observation", "labels", "notes", "images", "variants", "pixels")
_ATTACHED: Final = ("notes", "images", "genomes")


@dataclass(frozen=True)
class Leaving:
    """What goes from one folder.

    Attributes:
        subjects: who leaves, under every number that they have.
        shards: those that hold something of them.
        arrays: digests of arrays that are theirs alone.
        codes: codes that only they had.
    """

    subjects: frozenset[int]
    shards: frozenset[str]
    arrays: frozenset[str] = frozenset()
    codes: frozenset[str] = field(default=frozenset(), repr=False)

    def __bool__(self) -> bool:
        return bool(self.shards)


def leaving(made: Made, subjects: frozenset[int]) -> Leaving:
    """Find what a folder holds of some patients."""
    theirs = {shard.path for shard in made.manifest.shards if _holds(made.folder / shard.path, subjects)}
    if not theirs:
        return Leaving(subjects, frozenset())
    arrays, codes = _alone(_image_tables(made), "pixels", subjects), frozenset[str]()
    if (made.folder / schema.CODES_FILE).exists():
        codes = _alone(_files(made, f"{schema.DATA}/"), "code", subjects)
    for shard in made.manifest.shards:
        path = made.folder / shard.path
        if arrays and _is_store(path) and _any(path, "pixels", arrays):
            theirs.add(shard.path)
    if codes:
        theirs.add(schema.CODES_FILE)
    return Leaving(subjects, frozenset(theirs), arrays, codes)


def _holds(path: Path, subjects: frozenset[int]) -> bool:
    if path.is_dir():
        return (path / _PACKED).exists() and holds(path, subjects)
    if path.suffix == _DICOM:
        return _dicom_patient(path) in {str(one) for one in subjects}
    return _is_table(path, "subject_id") and _any(path, "subject_id", subjects)


def _dicom_patient(path: Path) -> str:
    from pydicom import dcmread

    return str(dcmread(path, specific_tags=["PatientID"], stop_before_pixels=True).get("PatientID", ""))


def _is_table(path: Path, *columns: str) -> bool:
    return path.suffix == ".parquet" and set(columns) <= set(pq.read_schema(path).names)


def _is_store(path: Path) -> bool:
    return not path.is_dir() and _is_table(path, "pixels", "data")


def _any(path: Path, column: str, values: Iterable[object]) -> bool:
    chosen = pl.col(column).is_in(list(values))
    return bool(pl.scan_parquet(path).filter(chosen).select(pl.len()).collect().item())


def _files(made: Made, prefix: str) -> list[Path]:
    return [made.folder / one.path for one in made.manifest.shards if one.path.startswith(prefix)]


def _image_tables(made: Made) -> list[Path]:
    packed = [path / _IMAGES for path in _files(made, f"{schema.DATA}/") if path.is_dir()]
    tables = [path for path in _files(made, f"{schema.IMAGES_FOLDER}/") if not _is_store(path)]
    return [path for path in (*tables, *packed) if path.exists()]


def _alone(paths: list[Path], column: str, subjects: frozenset[int]) -> frozenset[str]:
    """Give the values that some patients have and nobody else has."""
    if not paths:
        return frozenset()
    table = pl.scan_parquet(paths).select("subject_id", column)
    theirs = pl.col("subject_id").is_in(list(subjects))
    mine = table.filter(theirs).select(column).unique().collect()[column].drop_nulls()
    shared = table.filter(~theirs & pl.col(column).is_in(mine.implode())).select(column).unique().collect()
    return frozenset(mine) - frozenset(shared[column])


def stage(made: Made, gone: Leaving, made_from: tuple[str, ...]) -> Manifest:
    """Make a folder's new files and manifest beside the old ones, and declare them whole.

    Args:
        made: the folder.
        gone: what goes; may be nothing, where only the inputs' digests changed.
        made_from: digests of the inputs as they are now.
    """
    staging = made.folder / STAGING
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    shards = [
        new for old in made.manifest.shards if (new := _renewed(made.folder, old, gone, staging)) is not None
    ]
    if made.manifest.step == "deidentify" and gone:
        shards = _with_risk(made, shards, staging)
    manifest = _manifest(made, tuple(sorted(shards, key=lambda one: one.path)), made_from)
    (staging / schema.MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    flush(staging)
    staging.rename(made.folder / STAGED)
    return manifest


def _renewed(folder: Path, old: Shard, gone: Leaving, staging: Path) -> Shard | None:
    """Give a shard as it is, anew where it held something, or none where nothing is left of it."""
    if old.path not in gone.shards:
        return old
    if old.path.endswith(_DICOM):
        return None
    making = staging / old.path
    making.parent.mkdir(parents=True, exist_ok=True)
    counts = _write(folder / old.path, gone, making)
    if counts["rows"] == 0 and old.path.split("/")[0] in _EMPTY_GO:
        shutil.rmtree(making) if making.is_dir() else making.unlink()
        return None
    digest = digest_tree(making)
    stem = Path(old.path).stem
    final = old.path.replace(stem, digest[: len(stem)]) if old.digest.startswith(stem) else old.path
    making.rename(staging / final)
    told = {name: counts.get(name, n) for name, n in old.counts.items()}
    return Shard(path=final, digest=digest, rows=counts["rows"], counts=told)


def _write(path: Path, gone: Leaving, out: Path) -> dict[str, int]:
    if path.is_dir():
        return leave_out(path, gone.subjects, out)
    column, values = _sought(path, gone)
    n = 0
    with pq.ParquetFile(path) as read, pq.ParquetWriter(out, read.schema_arrow, compression="zstd") as writer:
        for place in range(read.num_row_groups):
            rows = read.read_row_group(place)
            wanted = pa.array(sorted(values), rows.schema.field(column).type)
            kept = rows.filter(pc.invert(pc.is_in(rows.column(column), value_set=wanted)))
            n += kept.num_rows
            if kept.num_rows:
                writer.write_table(kept)
    return {"rows": n}


def _sought(path: Path, gone: Leaving) -> tuple[str, frozenset[Any]]:
    names = pq.read_schema(path).names
    if "subject_id" in names:
        return "subject_id", gone.subjects
    return ("pixels", gone.arrays) if "data" in names else ("code", gone.codes)


def _with_risk(made: Made, shards: list[Shard], staging: Path) -> list[Shard]:
    """Measure the residual risk again, over who is left."""
    events = [
        _now(made.folder, staging, one.path) for one in shards if one.path.startswith(f"{schema.DATA}/")
    ]
    stated = next((one for one in shards if one.path == RISK_FILE), None)
    if stated is None:
        return shards
    settings = made.manifest.spec
    rules = RiskRules(**settings["risk"] | {"officers": ()})
    bounds = (settings["shift_weeks"], settings["era_blur_days"])
    before = msgspec.json.decode((made.folder / RISK_FILE).read_bytes())
    body = remeasured(events, before, rules, bounds)
    written = write_risk(body, staging)
    digests = {path: digest_tree(staging / path) for path in written}
    return [
        msgspec.structs.replace(one, digest=digests[one.path]) if one.path in digests else one
        for one in shards
    ]


def _now(folder: Path, staging: Path, path: str) -> Path:
    return staging / path if (staging / path).exists() else folder / path


def _manifest(made: Made, shards: tuple[Shard, ...], made_from: tuple[str, ...]) -> Manifest:
    """Give the manifest anew; how much went is not told: it would be a fact about one patient."""
    old = made.manifest
    lost = _total(old.shards) - _total(shards)
    result = with_before(old, made.digest)
    for name in ("patients", "moments", "labels", *_ATTACHED):
        if isinstance(result.get(name), int):
            n = _count(old.shards, name) - _count(shards, name)
            result[name] -= _patients(old) - _patients(shards) if name == "patients" else n
    result.pop("splits", None)
    rows = msgspec.structs.replace(old.rows, read=old.rows.read - lost, kept=old.rows.kept - lost)
    return msgspec.structs.replace(old, made_from=made_from, shards=shards, rows=rows, result=result)


def _total(shards: Iterable[Shard]) -> int:
    data = [one for one in shards if one.path.startswith(f"{schema.DATA}/") or one.path.endswith(_DICOM)]
    return sum(one.rows + sum(one.counts.get(name, 0) for name in _ATTACHED) for one in data)


def _count(shards: Iterable[Shard], name: str) -> int:
    return sum(one.counts.get(name, 0) for one in shards)


def _patients(found: Manifest | tuple[Shard, ...]) -> int:
    shards = found.shards if isinstance(found, Manifest) else found
    return sum(one.rows for one in shards if one.path == schema.SUBJECTS_FILE)


def put_in_place(folder: Path) -> None:
    """Put staged files in place, take away what they replace, then the manifest; again, if killed."""
    staged = folder / STAGED
    if not (staged / schema.MANIFEST).exists():  # killed while clearing up
        shutil.rmtree(staged)
        return
    new = msgspec.json.decode((staged / schema.MANIFEST).read_bytes(), type=Manifest)
    for shard in new.shards:
        if (staged / shard.path).exists():
            _replace(staged / shard.path, folder / shard.path)
    old = msgspec.json.decode((folder / schema.MANIFEST).read_bytes(), type=Manifest)
    stay = {one.path for one in new.shards}
    for shard in old.shards:
        if shard.path not in stay:
            remove(folder / shard.path)
    if old.shards != new.shards:
        remove(folder / ENCODINGS)
    shutil.copyfile(staged / schema.MANIFEST, staged / "manifest.tmp")
    flush(staged)
    (staged / "manifest.tmp").rename(folder / schema.MANIFEST)
    flush_folder(folder)
    shutil.rmtree(staged)


def _replace(new: Path, place: Path) -> None:
    """Put a file or folder in its place; one that is there under the same digest is the same."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if new.is_dir():
        remove(place)
    new.rename(place)
    flush_folder(place.parent)
