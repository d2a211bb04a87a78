"""In: a flow. Out: seconds and peak memory of a first run and of a second one, until the page answers."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
ADDRESS = "http://127.0.0.1:8000/"


def _memory(process: psutil.Process) -> int:
    """Bytes that a process and its children hold."""
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def _answers() -> bool:
    try:
        with urllib.request.urlopen(ADDRESS, timeout=2) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def _run(flow: Path, *, serves: bool) -> tuple[float, float]:
    """Run a flow until its page answers, or until it ends; give seconds and peak memory in GiB."""
    started, peak = time.monotonic(), 0
    command = [sys.executable, "-m", "residency", "run", str(flow)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        peak = max(peak, _memory(watched))
        if serves and _answers():
            break
        time.sleep(0.1)
    seconds = time.monotonic() - started
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.wait(30)
    elif process.returncode:
        raise SystemExit(f"the flow ended with {process.returncode}")
    return seconds, peak / 2**30


def main() -> None:
    """Copy the flow's folder beside the project's work, so that nothing is there yet, and run it twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("flow", nargs="?", type=Path, default=ROOT / "examples/hospital/flow.toml")
    flow = parser.parse_args().flow.absolute()
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    with tempfile.TemporaryDirectory(dir=ROOT) as folder:
        copied = Path(folder) / "examples" / flow.parent.name
        shutil.copytree(ROOT / "examples", copied.parent)
        for title in ("first run", "second run"):
            seconds, gib = _run(copied / flow.name, serves="[serve]" in flow.read_text("utf-8"))
            print(f"{flow.parent.name}: {title}: {seconds:.1f} s, peak {gib:.2f} GiB")


if __name__ == "__main__":
    main()
