import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from residency.contract.errors import InputError, ResidencyError
from residency.contract.processes import spread


def doubled(number: int) -> tuple[int, int]:
    return 2 * number, os.getpid()


def refused(number: int) -> int:
    if number == 3:
        raise InputError("what is wrong", where="a row", mend="so and so")
    return number


def killed(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_results_come_in_order_and_from_other_processes() -> None:
    done = list(spread(doubled, range(20), n_processes=2))
    assert [number for number, _ in done] == list(range(0, 40, 2))
    assert os.getpid() not in {process for _, process in done}


def test_an_error_arrives_with_what_where_and_how_to_mend_it() -> None:
    with pytest.raises(InputError) as caught:
        list(spread(refused, range(5), n_processes=1))
    error = caught.value
    assert (error.what, error.where, error.mend) == ("what is wrong", "a row", "so and so")


def test_a_worker_that_dies_is_said_so() -> None:
    with pytest.raises(ResidencyError, match="a worker process died"):
        list(spread(killed, range(2), n_processes=1))


PARENT = """
import sys, time
from pathlib import Path
from residency.contract.processes import spread

def waits(folder):
    import os
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(60)

if __name__ == "__main__":
    list(spread(waits, sys.argv[1:], n_processes=1))
"""


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="asks /proc who runs")
def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script, seen = tmp_path / "parent.py", tmp_path / "seen"
    script.write_text(PARENT)
    seen.mkdir()
    parent = subprocess.Popen([sys.executable, script, seen], stderr=subprocess.DEVNULL)
    worker = _within(20, lambda: next(iter(seen.iterdir()), None))
    parent.kill()
    parent.wait()
    assert _within(10, lambda: not _runs(worker.name))


def _runs(process: str) -> bool:
    try:
        state = Path("/proc", process, "stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # ended, and nobody has asked how


def _within(seconds: float, true: Callable[[], Any]) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := true():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come about")
