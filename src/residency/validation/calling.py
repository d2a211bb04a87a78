"""In: requests. Out: answers, each within its time, or why there is none; redirects are not followed.

A service that drips bytes is cut off when the time for the whole answer is over; an answer above 1 MiB is
cut off too. After some failures in a row the rest is not asked.
"""

import contextlib
import hashlib
import http.client
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Timer
from typing import Final
from urllib.parse import urlsplit

from residency.contract.progress import Progress
from residency.validation.endpoint_spec import EndpointSpec
from residency.validation.replies import read_reply

TIMED_OUT: Final = "timed out"
NOT_REACHED: Final = "could not be reached"
TOO_LARGE: Final = "answer too large"
GAVE_UP: Final = "not asked: too many failures in a row"
LARGEST: Final = 1 << 20
_FAILURES: Final = (TIMED_OUT, NOT_REACHED)


@dataclass(frozen=True)
class Called:
    """One request, and what came of it.

    Attributes:
        score: None where there is none.
        reason: why; empty with a score.
        seconds: it took.
        n_bytes: sent; 0 where nothing was.
        digest: SHA-256 of what was sent.
    """

    score: float | None
    reason: str
    seconds: float
    n_bytes: int
    digest: str


def call(spec: EndpointSpec, body: bytes, request: str) -> Called:
    """Ask once."""
    began = time.monotonic()
    score, reason = None, ""
    try:
        status, answer = _post(spec, body, began + spec.timeout_seconds)
    except TimeoutError:
        reason = TIMED_OUT
    except _TooLargeError:
        reason = TOO_LARGE
    except (OSError, http.client.HTTPException):
        reason = NOT_REACHED
    else:
        if status == 200:
            reply = read_reply(spec.spoken, answer, request)
            score, reason = reply.score, reply.reason
        else:
            reason = f"status {status}"
    seconds = time.monotonic() - began
    return Called(score, reason, seconds, len(body), hashlib.sha256(body).hexdigest())


class _TooLargeError(Exception):
    """The answer is too large."""


def _post(spec: EndpointSpec, body: bytes, deadline: float) -> tuple[int, bytes]:
    parts = urlsplit(spec.address)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=spec.timeout_seconds)
    headers = {"content-type": "application/json", "accept": "application/json"}
    if spec.key is not None:
        headers |= {"authorization": f"Bearer {spec.key}", "api-key": spec.key}
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    timer = Timer(deadline - time.monotonic(), lambda: _cut(reached))
    reached = list[socket.socket]()
    try:
        connection.connect()
        reached.append(connection.sock)
        timer.start()
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        found = answer.status, _read(answer)
    except (OSError, http.client.HTTPException):
        _check(deadline)
        raise
    finally:
        timer.cancel()
        connection.close()
    _check(deadline)  # an answer that was cut off may look whole
    return found


def _cut(reached: list[socket.socket]) -> None:
    """End a conversation, so that whoever reads from it stops waiting."""
    with contextlib.suppress(OSError):
        reached[0].shutdown(socket.SHUT_RDWR)


def _check(deadline: float) -> None:
    if time.monotonic() >= deadline:
        raise TimeoutError from None


def _read(answer: http.client.HTTPResponse) -> bytes:
    parts, size = list[bytes](), 0
    while part := answer.read1(1 << 16):
        parts.append(part)
        size += len(part)
        if size > LARGEST:
            raise _TooLargeError
    return b"".join(parts)


def call_all(spec: EndpointSpec, bodies: Sequence[tuple[str, bytes]], progress: Progress) -> list[Called]:
    """Ask everything, a few at once, in order; stop asking where the service is gone.

    Args:
        spec: of the service.
        bodies: number and body of each request.
        progress: is told of each few.
    """
    found, failed = list[Called](), 0
    with ThreadPoolExecutor(spec.at_once) as pool:
        for first in range(0, len(bodies), spec.at_once):
            some = bodies[first : first + spec.at_once]
            if failed >= spec.give_up_after:
                found += [Called(None, GAVE_UP, 0.0, 0, "") for _ in some]
                continue
            answers = list(pool.map(lambda one: call(spec, one[1], one[0]), some))
            for one in answers:
                failed = failed + 1 if one.reason in _FAILURES else 0
            found += answers
            progress("asking", len(found), len(bodies))
    return found
