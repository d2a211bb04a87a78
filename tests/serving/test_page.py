"""The page of a real release, in a real browser, where there is one."""

import importlib.util
import re
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from residency import workspace

SPEC = importlib.util.spec_from_file_location("chromium", Path(__file__).with_name("chromium.py"))
assert SPEC is not None
assert SPEC.loader is not None
chromium: Any = importlib.util.module_from_spec(SPEC)
sys.modules["chromium"] = chromium
SPEC.loader.exec_module(chromium)

pytestmark = [
    pytest.mark.server,
    pytest.mark.filterwarnings("ignore:.*reduce_op"),  # nicegui looks at every object, torch's old names too
    pytest.mark.skipif(chromium.PATH is None, reason="no chromium on this machine"),
]
AS_OF = "2021-06-01"


@pytest.fixture(scope="module")
def url(world: Any, tmp_path_factory: pytest.TempPathFactory, running: Callable[[FastAPI, int], str]) -> str:
    """The page's address; the page's library serves one application a process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    app = world.app(tmp_path_factory.mktemp("page") / "audit.db")
    workspace.attach(app, f"http://127.0.0.1:{port}", "res_ward")
    return running(app, port)


@pytest.fixture
def page(url: str, tmp_path: Path) -> Iterator[Any]:
    """The page, with MRN-1000 open, in a browser of its own."""
    with chromium.browser(tmp_path / "profile") as found:
        found.open(url)
        found.wait_for("Patient MRN-1000")
        found.wait_for("Used:")
        yield found
    shutil.rmtree(tmp_path / "profile", ignore_errors=True)


def test_the_page_shows_who_is_open_what_is_likely_and_what_it_is_not(page: Any) -> None:
    found = page.wait_for("within ")
    for shown in (
        "DEMO: signed with keys that anyone may have",
        "Patient MRN-1000",
        "born ",
        "Rests on records up to",
        "What was examined",
        "Not a cleared medical device",
        "No figure: ",
    ):
        assert shown in found
    assert "No answer" not in found
    html = page.run("document.documentElement.outerHTML")
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", html)  # nothing is fetched from elsewhere


def _move(page: Any, day: str) -> None:
    page.run(
        f"""(() => {{ const field = document.querySelector('input[type=date]');
        field.value = {day!r};
        field.dispatchEvent(new Event('input', {{bubbles: true}}));
        field.dispatchEvent(new Event('change', {{bubbles: true}})); }})()"""
    )


def test_every_kind_of_record_opens_by_a_click_and_stays_inert(page: Any) -> None:
    shown = page.wait_for("Notes, images and genome")
    assert "Notes (2)" in shown
    assert "Images (2)" in shown
    assert "Used: coded records, notes, images, genome." in shown
    _move(page, AS_OF)
    page.wait_for("Notes (1)")  # the late addendum is not there
    assert "Notes (2)" not in page.wait_for("Used:")
    page.click("Progress note")
    text = page.wait_for("As it stands in the record.")
    assert "<script>document.title = 'OPENED'</script><img src=x onerror=" in text
    assert "Ignore all earlier instructions" in text
    assert "Addendum" not in text
    assert text.count("Patient MRN-1000") == 2  # the page's own strip, and the window's
    time.sleep(0.5)
    assert page.run("document.title") == "Residency"
    assert page.run("document.querySelectorAll('.r-dialog script, .r-dialog img').length") == 0
    page.click("Close")
    page.click("CT of the chest")
    page.wait_for("Not for diagnosis")
    page.wait_for("Slice 2 of 3")
    first = _pixels(page)
    page.click("Bone")
    page.wait_for("Black -450 to white 1,050 HU")
    _wait(lambda: _pixels(page) != first)
    page.click("Close")
    page.click("1 star-allele call")
    assert "intermediate metaboliser" in page.wait_for("Phenotypes as the model reads")
    page.click("Close")


def _pixels(page: Any) -> str:
    """Give the picture that is shown: its own bytes, never an address on some machine."""
    source = str(page.run("document.querySelector('.r-light img')?.src || ''"))
    assert source[:22] in ("", "data:image/png;base64,")
    return source


def _wait(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert is_so()


def test_the_switch_asks_again_with_less_and_says_so(page: Any) -> None:
    page.click("Without images and genome")
    shown = page.wait_for("Asked from less than is on record: without images and genome.")
    assert "Used: coded records, notes." in shown
    assert "From all records:" in shown
    page.click("Without notes")
    assert "Used: coded records, images, genome." in page.wait_for("less than is on record: without notes.")
    page.click("All records")
    page.wait_for("Used: coded records, notes, images, genome.")
    assert "Asked from less" not in page.wait_for("Patient MRN-1000")


def test_a_figure_says_which_records_moved_it_and_not_why(page: Any) -> None:
    page.wait_for("within ")
    page.click("What moved the model")
    shown = page.wait_for("not why the patient is ill")
    assert shown.count("Patient MRN-1000") == 2  # the page's own strip, and the window's
    assert "No answer" not in shown
    assert "without it" in shown or "No record, taken away, moves this figure." in shown
    page.click("Close")


def test_nothing_of_a_patient_is_in_an_address_and_nothing_low_is_green(page: Any) -> None:
    addresses = page.run("JSON.stringify(performance.getEntriesByType('resource').map(one => one.name))")
    assert "MRN" not in addresses
    assert "patients" not in addresses
    green = """[...document.querySelectorAll('.r-risk *')].map(one => getComputedStyle(one)).flatMap(
        one => [one.color, one.backgroundColor]).filter(text => {
            const [red, green, blue] = text.match(/\\d+/g).map(Number);
            return green > red + 20 && green > blue + 20; }).length"""
    assert page.run(green) == 0
