"""In: an HTTP request. Out: its body and key, within limits; a line in the log that names no patient."""

import ipaddress
import logging
import time
from typing import Any, Final

import msgspec
from fastapi import Request
from fastapi.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from residency.contract.errors import InputError
from residency.release.states import Place
from residency.serving.faults import TooLargeError, fault

_LOG: Final = logging.getLogger("residency.access")
LARGEST_BODY: Final = 32 << 20
NOT_KEPT: Final = {"cache-control": "no-store"}
_LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})


async def body_of(request: Request) -> bytes:
    """Read a body, and stop reading one that is too large.

    Raises:
        TooLargeError: it is more than 32 MiB.
        InputError: it is no UTF-8.
    """
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > LARGEST_BODY:
            raise TooLargeError("the request is too large", mend=f"send at most {LARGEST_BODY >> 20} MiB")
        parts.append(part)
    body = b"".join(parts)
    try:
        body.decode("utf-8")  # parts of it are decoded late, where nobody expects this
    except UnicodeDecodeError:
        raise InputError("the request is no UTF-8") from None
    return body


def json_of(body: Any) -> Response:
    """Give an answer as JSON, that no browser or proxy keeps."""
    return Response(msgspec.json.encode(body), media_type="application/json", headers=NOT_KEPT)


def key_of(request: Request) -> str | None:
    """Give the key that a caller sent: `api-key`, or a bearer token."""
    if key := request.headers.get("api-key"):
        return key
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def place_of(host: str) -> Place:
    """Say how far a service reaches that listens at an address.

    Example:
        >>> [place_of(host) for host in ("127.0.0.1", "localhost", "10.1.2.3", "0.0.0.0")]
        ['loopback', 'loopback', 'internal', 'outside']
    """
    if host == "localhost":
        return "loopback"
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return "outside"
    if address.is_loopback:
        return "loopback"
    return "internal" if address.is_private and not address.is_unspecified else "outside"


class LoopbackOnly:
    """Refuses whoever is not on this machine, and names that were made to point at it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] not in ("http", "websocket") or self._is_near(scope):
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            refusal = fault(scope["path"], 403, "this release is for this machine only")
            await refusal(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _is_near(self, scope: Scope) -> bool:
        host, _ = scope.get("client") or ("", 0)
        named = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
        name = named if named.endswith("]") else named.rpartition(":")[0] or named
        return place_of(host) == "loopback" and name in _LOOPBACK_HOSTS


class AccessLog:
    """Writes method, route, status and time; no path as it was sent, no query, no body."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and log what came of it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        await self.app(scope, receive, note)
        route = getattr(scope.get("route"), "path", "-")
        _LOG.info("%s %s %d %.0f ms", scope["method"], route, status, 1000 * (time.perf_counter() - started))
