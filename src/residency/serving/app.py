"""In: a verified release, grants, an audit, perhaps a panel. Out: an HTTP application.

Paths: `/openai/v1/…` and `/openai/deployments/…` as OpenAI and Azure clients call them, `/residency/v1/…` our
own, `/healthz`.
"""

import hashlib
import logging
import secrets
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response, StreamingResponse

from residency.contract.errors import GateError, InputError, NotFoundError
from residency.release import Release
from residency.serving.audit import Audit
from residency.serving.bedside import Bedside
from residency.serving.doors import AccessLog, LoopbackOnly, body_of, json_of, key_of, place_of
from residency.serving.faults import add_handlers
from residency.serving.grants import load_grants
from residency.serving.looks import add_looks
from residency.serving.memory import MEND, SWAPPED, no_core_dumps, swap_is_on
from residency.serving.panel import Panel
from residency.serving.sentences import sentences_of
from residency.serving.service import Clock, Service
from residency.serving.wire import Chat, ChatRequest, PatientContext, models_body, read_chat, read_context

ALIAS: Final = "residency"


def create_app(
    release: Release,
    grants: Path,
    audit_url: str,
    panel: Path | None = None,
    *,
    clock: Clock,
    key: bytes | None = None,
) -> FastAPI:
    """Put a release behind HTTP.

    Args:
        release: verified, and opened for the place where it is to run.
        grants: who may ask, in TOML.
        audit_url: database of the audit, for example `sqlite:///audit.db`.
        panel: folder of identified records, inside the institution; None elsewhere.
        clock: tells the time, aware.
        key: of the de-identification; where None, one that follows from the release. Names and dates in
            notes are replaced by others that the key chooses, and the model reads them: with a key that
            stays, the same patient gets the same answer after a restart. Nothing that it hides goes out.

    Raises:
        SignatureError: the release's ledger was cut back since this service last saw it.
        LineageError: the panel is not what `ingest` made.
    """
    _ = release.model  # a service that cannot read its weights does not start
    audit = Audit(audit_url)
    audit.remember(release.digest, tuple(entry.digest for entry in release.standing.entries))
    opened = Panel.open(panel) if panel is not None else None
    if opened is not None:
        _ = opened.patients  # listed once, before anybody waits for it
    service = Service(
        release=release,
        grants=load_grants(grants),
        audit=audit,
        bedside=Bedside(release, key or _key_of(release)),
        clock=clock,
        panel=opened,
    )
    app = FastAPI(title="Residency", docs_url=None, redoc_url=None, openapi_url=None)
    add_handlers(app)
    if release.place == "loopback":
        app.add_middleware(LoopbackOnly)
    app.add_middleware(AccessLog)
    app.state.service = service
    _add_ours(app, service)
    add_looks(app, service)
    _add_openai(app, service)
    return app


def _key_of(release: Release) -> bytes:
    return hashlib.sha256(f"view of requests by {release.digest}".encode()).digest()


def serve(app: FastAPI, *, host: str, port: int) -> None:
    """Run an application until it is stopped; a crash leaves no image of its memory.

    Raises:
        GateError: the address reaches further than the release was opened for.
    """
    import uvicorn

    # the page's library looks at every object at its start, torch's old names among them
    warnings.filterwarnings("ignore", message=".*torch.distributed.reduce_op", category=FutureWarning)
    order = ("loopback", "internal", "outside")
    permitted, wanted = app.state.service.release.place, place_of(host)
    if order.index(wanted) > order.index(permitted):
        raise GateError(f"the release was opened for {permitted}, and this address is {wanted}", where="host")
    no_core_dumps()
    if swap_is_on():
        logging.getLogger("residency.serving").warning("%s; %s", SWAPPED, MEND)
    uvicorn.run(app, host=host, port=port, access_log=False, log_level="warning", server_header=False)


def _add_ours(app: FastAPI, service: Service) -> None:
    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/residency/v1/release")
    async def about(request: Request) -> Response:
        return json_of(await run_in_threadpool(service.about, key_of(request)))

    @app.post("/residency/v1/ask")
    async def ask(request: Request) -> Response:
        body, key = await body_of(request), key_of(request)
        answer, *_ = await run_in_threadpool(service.answer, key, body, read_context)
        return json_of({"answer": answer, "sentences": sentences_of(answer), "banner": service.banner})

    @app.post("/residency/v1/trajectory")
    async def trajectory(request: Request) -> Response:
        body, key = await body_of(request), key_of(request)
        return json_of({"answers": await run_in_threadpool(service.answer, key, body, read_context)})

    @app.get("/residency/v1/patients")
    async def patients(request: Request) -> Response:
        return json_of({"patients": await run_in_threadpool(service.patients, key_of(request))})


def _add_openai(app: FastAPI, service: Service) -> None:
    async def chat(request: Request, deployment: str | None = None) -> Response:
        body, key = await body_of(request), key_of(request)
        return await run_in_threadpool(_chat, service, key, body, deployment)

    async def models(request: Request) -> Response:
        await run_in_threadpool(service.admit, key_of(request))
        created = int(service.release.standing.entries[0].time.timestamp())
        return json_of(models_body((service.name, ALIAS), created))

    for path in ("/openai/v1/chat/completions", "/openai/deployments/{deployment}/chat/completions",
                 "/openai/v1/deployments/{deployment}/chat/completions"):  # fmt: skip
        app.add_api_route(path, chat, methods=["POST"])
    for path in ("/openai/v1/models", "/openai/models"):
        app.add_api_route(path, models, methods=["GET"])


def _chat(service: Service, key: str | None, body: bytes, deployment: str | None) -> Response:
    asked: list[ChatRequest] = []
    answer, *_ = service.answer(key, body, _reader(service, deployment, asked))
    (request,) = asked
    chat = Chat(
        identity=f"chatcmpl-{secrets.token_hex(12)}",
        created=int(service.clock().timestamp()),
        model=service.name,
        answer=answer,
        wants_json=request.response_format.type != "text",
        banner=service.banner,
    )
    if not request.stream:
        return json_of(chat.body())
    usage = request.stream_options is not None and request.stream_options.include_usage
    return StreamingResponse(chat.events(include_usage=usage), media_type="text/event-stream")


def _reader(
    service: Service, deployment: str | None, asked: list[ChatRequest]
) -> Callable[[bytes], PatientContext]:
    """Read the patient out of a chat request, and keep the request."""

    def read(body: bytes) -> PatientContext:
        request = read_chat(body)
        if (deployment or request.model) not in (service.name, ALIAS):
            raise NotFoundError("no such model", mend=f"this service has {service.name}, also called {ALIAS}")
        if request.patient_context is None:
            raise InputError(
                "no patient_context", where="patient_context", mend="give fhir or meds, as_of and question"
            )
        asked.append(request)
        return request.patient_context

    return read
