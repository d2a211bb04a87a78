"""In: an error. Out: JSON in the shape of the path: what, and how to mend it; never a value sent."""

import logging
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from residency.contract.errors import ResidencyError

_LOG: Final = logging.getLogger("residency.serving")
_OPENAI: Final = "/openai"
_TYPES: Final[dict[int, tuple[str, str]]] = {
    400: ("invalid_request", "invalid_request_error"),
    401: ("invalid_api_key", "authentication_error"),
    403: ("permission_denied", "permission_error"),
    404: ("not_found", "invalid_request_error"),
    405: ("method_not_allowed", "invalid_request_error"),
    409: ("conflict", "invalid_request_error"),
    413: ("request_too_large", "invalid_request_error"),
    422: ("unprocessable", "invalid_request_error"),
    429: ("rate_limit_exceeded", "rate_limit_error"),
    500: ("internal_error", "server_error"),
}


class TooLargeError(ResidencyError):
    """A request is larger than this service reads."""

    status = 413


def fault(path: str, status: int, what: str, *, where: str = "", mend: str = "") -> JSONResponse:
    """Say what went wrong, as clients of this path read it."""
    code, kind = _TYPES.get(status, _TYPES[400 if status < 500 else 500])
    if path.startswith(_OPENAI):
        message = f"{what}. {mend}".strip() if mend else what
        body: dict[str, Any] = {
            "error": {"code": code, "message": message, "param": where or None, "type": kind}
        }
        return JSONResponse(body, status, headers={"x-ms-error-code": code})
    return JSONResponse({"what": what, "where": where, "mend": mend}, status)


def add_handlers(app: FastAPI) -> None:
    """Let every error leave by one door."""
    app.add_exception_handler(ResidencyError, _ours)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_exception_handler(HTTPException, _theirs)
    app.add_middleware(LastDoor)


async def _ours(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ResidencyError)  # noqa: S101 - registered for it alone
    where = (
        error.where if error.status in (400, 413, 422) else ""
    )  # elsewhere it may name a file of this machine
    return fault(request.url.path, error.status, error.what, where=where, mend=error.mend)


async def _unreadable(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it alone
    places = {str(item.get("loc", ("",))[0]) for item in error.errors()}  # path, query, body; never the value
    return fault(request.url.path, 422, "bad request", where=", ".join(sorted(places)))


async def _theirs(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it alone
    what = {404: "no such path", 405: "no such method on this path"}.get(error.status_code, "bad request")
    return fault(request.url.path, error.status_code, what)


class LastDoor:
    """Turns what nobody foresaw into a 500 without text; the log gets the kind of error and the line."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            await self.app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - a message could hold a value; nothing may leave beyond here
            _LOG.error("%s at %s", type(error).__name__, _line_of(error))
            await fault(scope["path"], 500, "the service failed", mend="tell its operator the time")(
                scope, receive, send
            )


def _line_of(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else "?"
