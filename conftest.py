"""Where a module writes the shape of an array, its tests check it; all other types are mypy's."""

from pathlib import Path

import beartype  # noqa: F401
import lightgbm  # noqa: F401
import matplotlib.pyplot  # noqa: F401
import pytest
import torch  # noqa: F401, TID253
from jaxtyping import install_import_hook
from xdist.scheduler import LoadScopeScheduling

# Four libraries are imported above because a module that is checked looks for bytecode of another name,
# and so does all that it is the first to import: without, two thousand modules of others are compiled anew.

ROOT = Path(__file__).parent
SOURCE = ROOT / "src"

install_import_hook(
    [
        ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        for path in sorted(SOURCE.rglob("*.py"))
        if "from jaxtyping import" in path.read_text("utf-8")
    ],
    "beartype.beartype",
)


class Rooms(LoadScopeScheduling):
    """Keep tests that share a `conftest.py` in one process: what it makes is made once. Others go by file."""

    def _split_scope(self, nodeid: str) -> str:
        path = Path(nodeid.partition("::")[0])
        rooms = (folder for folder in path.parents[:-1] if (ROOT / folder / "conftest.py").exists())
        return next(rooms, path).as_posix()


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Rooms:
    """Share tests out among processes by room."""
    return Rooms(config, log)
