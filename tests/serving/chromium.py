"""Drives a real Chromium over its DevTools protocol: opens a page, runs script in it, takes a picture."""

import asyncio
import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

PATH = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--window-size=1440,1250",
    "--remote-debugging-port=0", "about:blank",
)  # fmt: skip


class Browser:
    """One page of one browser; every call opens a connection of its own.

    Args:
        port: of the DevTools.
    """

    def __init__(self, port: int) -> None:
        self._port = port

    def open(self, url: str) -> None:
        """Go to an address."""
        self._do("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """Give the value of an expression."""
        found = self._do("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        return found["result"].get("value")

    def wait_for(self, text: str, *, seconds: float = 40.0) -> str:
        """Wait until the page shows a text, and give all that it shows."""
        deadline = time.monotonic() + seconds
        shown = ""
        while time.monotonic() < deadline:
            shown = self.run("document.body ? document.body.innerText : ''") or ""
            if text in shown:
                return str(shown)
            time.sleep(0.2)
        raise AssertionError(f"the page does not show what it should; it shows: {shown[:2000]}")

    def click(self, text: str, *, within: str = "*") -> None:
        """Click the innermost element that says exactly this."""
        script = f"""(() => {{
            const all = [...document.querySelectorAll({within!r})];
            const one = all.filter(e => e.innerText?.trim() === {text!r}).at(-1);
            if (one) one.click();
            return Boolean(one);
        }})()"""
        assert self.run(script), "there is nothing of this text to click"

    def picture(self, path: Path) -> None:
        """Take a picture of what is in the window."""
        path.write_bytes(base64.b64decode(self._do("Page.captureScreenshot")["data"]))

    def _do(self, method: str, **params: Any) -> dict[str, Any]:
        return asyncio.run(self._ask(method, params))

    async def _ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{self._port}/json") as listed:
                pages = [one for one in await listed.json() if one["type"] == "page"]
            url = pages[0]["webSocketDebuggerUrl"]
            async with session.ws_connect(url, max_msg_size=1 << 28) as socket:
                await socket.send_json({"id": 1, "method": method, "params": params})
                async for message in socket:
                    answer: dict[str, Any] = json.loads(message.data)
                    if answer.get("id") == 1:
                        return dict(answer["result"])
        raise AssertionError("the browser went away")


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """Start a browser, and stop it in the end."""
    command = [str(PATH), *FLAGS[:-1], f"--user-data-dir={profile}", FLAGS[-1]]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        told = profile / "DevToolsActivePort"
        deadline = time.monotonic() + 60
        while not (told.exists() and told.read_text().strip()) and time.monotonic() < deadline:
            time.sleep(0.1)
        yield Browser(int(told.read_text().split()[0]))
    finally:
        process.terminate()
        process.wait(20)
