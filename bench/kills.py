"""In: a small hospital. Out: how often each step was killed and still ended with the same bytes."""

import argparse
import importlib.util
import random
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def _module(name: str) -> object:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tests" / "flow" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> int:
    """Kill each step `--kills` times, in `--rounds` rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    test = _module("test_killed_steps")
    killing, rng, worst = test.killing, random.Random(asked.seed), 0  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for name, arguments in test.steps(work).items():  # type: ignore[attr-defined]
            seconds = killing.undisturbed(arguments)
            calm, hits, same = killing.same_bytes(work / name), 0, 0
            for _ in range(asked.rounds):
                shutil.rmtree(work / name)
                hits += killing.killed(arguments, times=asked.kills, seconds=seconds, rng=rng)
                same += killing.same_bytes(work / name) == calm
            worst = max(worst, asked.rounds - same)
            print(f"{name:<14} {seconds:6.1f} s; killed {hits:>3} times; same bytes {same} of {asked.rounds}")
    return int(worst > 0)


if __name__ == "__main__":
    sys.exit(main())
