import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from residency.contract.errors import InputError, LineageError, StaleError
from residency.contract.lineage import Manifest, Rows, Step, digest_input, open_made

NOW = datetime(2026, 1, 1, tzinfo=UTC)

SLOW_STEP = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from residency.contract.lineage import Rows, Step
def make(i):
    def write(path):
        with path.open("wb") as f:
            for _ in range(20):
                f.write(bytes([i]) * 1000); f.flush(); time.sleep(0.0005)
        return 20
    return write
with Step(Path(sys.argv[1]), name="slow", inputs=["a"], spec={"n": 12}, now=datetime.now(UTC)) as step:
    if not step.done:
        for i in range(12):
            step.shard(f"{i:04}", "data", suffix=".bin", make=make(i))
        step.finish(rows=Rows(read=240, kept=240))
"""


def make_one(out: Path, *, spec: dict[str, int] | None = None, body: bytes = b"one") -> Manifest:
    def write(path: Path) -> int:
        path.write_bytes(body)
        return 1

    with Step(out, name="make", inputs=["digest"], spec=spec or {"n": 1}, now=NOW) as step:
        if step.manifest:
            return step.manifest
        step.shard("0", "data", suffix=".bin", make=write)
        return step.finish(rows=Rows(read=2, kept=1, dropped={"odd": 1}))


def tree(folder: Path) -> dict[str, bytes]:
    files = {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }
    manifest = msgspec.json.decode(files.pop("made-from.json"), type=Manifest)
    return {**files, "made-from.json": manifest.digest.encode()}


def test_a_finished_step_is_not_made_again(tmp_path: Path) -> None:
    first = make_one(tmp_path / "out")
    stamp = (tmp_path / "out" / first.shards[0].path).stat().st_mtime_ns
    assert make_one(tmp_path / "out", body=b"never written") == first
    assert (tmp_path / "out" / first.shards[0].path).stat().st_mtime_ns == stamp


def test_other_settings_leave_a_finished_folder_untouched(tmp_path: Path) -> None:
    make_one(tmp_path / "out")
    before = tree(tmp_path / "out")
    with pytest.raises(StaleError):
        make_one(tmp_path / "out", spec={"n": 2})
    assert tree(tmp_path / "out") == before


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("keep me")
    with pytest.raises(LineageError):
        make_one(tmp_path / "letters")
    assert [p.name for p in (tmp_path / "letters").iterdir()] == ["dear.txt"]


def test_a_step_that_is_refused_before_its_first_shard_leaves_no_folder(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError),
        Step(tmp_path / "out", name="make", inputs=["digest"], spec={}, now=NOW),
    ):
        raise InputError("bad")
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_no_manifest_and_the_next_run_ends_the_same(tmp_path: Path) -> None:
    def write(path: Path) -> int:
        path.write_bytes(b"x")
        return 1

    def full(path: Path) -> int:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    def run(out: Path, second: object) -> None:
        with Step(out, name="make", inputs=["d"], spec={}, now=NOW) as step:
            step.shard("0", "data", make=write)
            step.shard("1", "data", make=second)  # type: ignore[arg-type]
            step.finish(rows=Rows())

    def other(path: Path) -> int:
        path.write_bytes(b"whole")
        return 1

    with pytest.raises(OSError, match="No space"):
        run(tmp_path / "full", full)
    assert not (tmp_path / "full" / "made-from.json").exists()
    run(tmp_path / "full", other)
    run(tmp_path / "calm", other)
    assert tree(tmp_path / "full") == tree(tmp_path / "calm")


def test_an_altered_shard_is_found(tmp_path: Path) -> None:
    made = make_one(tmp_path / "out")
    (tmp_path / "out" / made.shards[0].path).write_bytes(b"two")
    with pytest.raises(LineageError, match="altered"):
        open_made(tmp_path / "out", verify=True)


def test_a_missing_shard_is_found_without_reading_the_others(tmp_path: Path) -> None:
    made = make_one(tmp_path / "out")
    (tmp_path / "out" / made.shards[0].path).unlink()
    with pytest.raises(LineageError, match="missing"):
        open_made(tmp_path / "out")


def test_an_unfinished_folder_is_no_input(tmp_path: Path) -> None:
    (tmp_path / "out" / ".work").mkdir(parents=True)
    with pytest.raises(LineageError, match="not finished"):
        digest_input(tmp_path / "out")
    with pytest.raises(LineageError):
        open_made(tmp_path / "out")


def test_two_processes_do_not_work_in_one_folder(tmp_path: Path) -> None:
    with Step(tmp_path / "out", name="make", inputs=["d"], spec={}, now=NOW):
        with (
            pytest.raises(LineageError, match="another process"),
            Step(tmp_path / "out", name="make", inputs=["d"], spec={}, now=NOW),
        ):
            pass
        assert (tmp_path / "out" / ".work").is_dir()


def test_the_manifest_digest_leaves_out_the_run(tmp_path: Path) -> None:
    made = make_one(tmp_path / "out")
    later = msgspec.structs.replace(made, run={"host": "elsewhere"})
    assert later.digest == made.digest
    assert msgspec.structs.replace(made, rows=Rows(read=3)).digest != made.digest


@pytest.mark.slow
def test_a_step_killed_at_any_moment_ends_with_the_same_bytes(tmp_path: Path) -> None:
    def start(out: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", SLOW_STEP, str(out)], env={**os.environ})

    assert start(tmp_path / "calm").wait() == 0
    killed = 0
    for attempt in range(8):
        process = start(tmp_path / "killed")
        time.sleep(0.25 + 0.04 * attempt)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
    assert killed
    assert start(tmp_path / "killed").wait() == 0
    assert tree(tmp_path / "killed") == tree(tmp_path / "calm")
