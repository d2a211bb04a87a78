"""In: a command of one step. Out: what its folder holds, after kills at random moments, or undisturbed."""

import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from residency.contract.lineage import Manifest
from residency.contract.schema import MANIFEST


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "residency", *map(str, arguments)]


def undisturbed(arguments: Sequence[str]) -> float:
    """Run a command to its end and give its seconds."""
    started = time.monotonic()
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return time.monotonic() - started


def killed(arguments: Sequence[str], *, times: int, seconds: float, rng: random.Random) -> int:
    """Kill -9 a command at random moments, again and again, then let it end; give the kills that hit."""
    hits = 0
    for _ in range(times):
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.3, 1.0) * seconds)
        hits += process.poll() is None
        process.kill()
        process.wait()
    undisturbed(arguments)
    return hits


def same_bytes(folder: Path) -> dict[str, bytes]:
    """Give all that *same bytes* means: every file, and the manifest without its run block."""
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    manifest = msgspec.json.decode(files.pop(MANIFEST), type=Manifest)
    return {**files, MANIFEST: manifest.digest.encode()}
