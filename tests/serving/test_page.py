"""The first page of a real release, in a real browser, where there is one."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from residency import workspace

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--virtual-time-budget=30000",
    "--window-size=1440,1250", "--dump-dom",
)  # fmt: skip


@pytest.mark.server
@pytest.mark.filterwarnings("ignore:.*reduce_op")  # nicegui looks at every object, torch's old names too
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_the_page_shows_who_is_open_what_is_likely_and_what_it_is_not(
    world: Any, tmp_path: Path, free_port: int, running: Callable[[FastAPI, int], str]
) -> None:
    app = world.app(tmp_path / "audit.db")
    workspace.attach(app, f"http://127.0.0.1:{free_port}", "res_ward")
    url = running(app, free_port)
    found = subprocess.run(
        [str(CHROMIUM), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", url],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    for shown in (
        "DEMO: signed with keys that anyone may have",
        "Patient MRN-1000",
        "born ",
        "within 1 year",
        "Rests on records up to",
        "What was examined",
        "Not a cleared medical device",
        "No figure: ",
    ):
        assert shown in found
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", found)  # nothing is fetched from elsewhere
    assert "No answer" not in found
