"""Models that answer over HTTP: honest ones, and ones that lie, dawdle, drip, or talk."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[dict[str, Any]], Any]


class Seen(list[dict[str, Any]]):
    """Bodies that a server was sent, and the headers beside."""


@contextmanager
def server(answer: Answer, *, status: int = 200, seconds: float = 0.0, drip: str = "") -> Iterator[Any]:
    """Serve on this machine.

    Args:
        answer: makes the body of the request's.
        status: of every answer.
        seconds: before it.
        drip: `head` or `body`: that part comes byte by byte.
    """
    seen = Seen()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            seen.append({"body": body, "headers": dict(self.headers), "path": self.path})
            time.sleep(seconds)
            with suppress(OSError):
                self.say(as_bytes(answer(body)))

        def say(self, said: bytes) -> None:
            if drip == "head":
                self.slowly(b"HTTP/1.1 200 OK\r\nx-wait: " + b"x" * 100)
            self.send_response(status)
            self.send_header("location", "http://127.0.0.1:1/elsewhere")
            self.end_headers()
            if drip == "body":
                self.slowly(said)
            else:
                self.wfile.write(said)

        def slowly(self, said: bytes) -> None:
            for byte in said:
                self.wfile.write(bytes([byte]))
                time.sleep(0.03)

        def log_message(self, *_: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    thread = threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield type("Served", (), {"url": f"http://127.0.0.1:{httpd.server_port}", "seen": seen})
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def as_bytes(made: Any) -> bytes:
    """Give JSON, or what are bytes already."""
    return made if isinstance(made, bytes) else json.dumps(made).encode()


def chat(text: object) -> dict[str, Any]:
    """Give a chat completion."""
    return {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}
