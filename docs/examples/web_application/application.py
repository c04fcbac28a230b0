"""A web application that reads digits: FastAPI in front of a Digits server.

    uvicorn --app-dir docs/examples/web_application application:app --workers 2

Environment variables, all optional:

DIGITS_TARGET             host:port of the Digits server; localhost:50051
DIGITS_TOKEN_FILE         the token that it asks for; read again for each RPC
DIGITS_ROOT_CERTIFICATES  PEM of the authority that signed its certificate; turns TLS on
PROMETHEUS_MULTIPROC_DIR  a directory that exists and is empty at the start: the metrics of all workers together
"""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, File, HTTPException, Request, Response, UploadFile
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

import digits_client
from digits_client import AsyncClient, DigitsError
from digits_client.metrics import measured

TIMEOUT_SECONDS = 3.0
"""What a prediction may take; less than the web server in front of this application waits."""

HEALTH_SECONDS = 1.0
MOST_BYTES = 10 * 1024 * 1024
"""Of one upload."""

log = logging.getLogger("uvicorn.error")

STATUSES: list[tuple[type[DigitsError], int]] = [
    (digits_client.InvalidInput, 400),  # it is not an image: the user's to change
    (digits_client.Overloaded, 503),
    (digits_client.QueueFull, 503),
    (digits_client.ResourceExhausted, 413),  # the picture is too large
    (digits_client.Unavailable, 503),
    (digits_client.DeadlineExceeded, 504),
    (digits_client.ClientClosed, 503),  # this worker is about to end
    (DigitsError, 500),  # Unauthenticated, Misused, ServerError: the application's own, or the Digits server's
]
"""The HTTP status of each error; the first row that fits counts."""

APOLOGY = "this service cannot read digits at the moment"
"""What users are told of errors that they can do nothing about."""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One client for each worker process: made after the fork, on the worker's event loop, and closed at the end."""
    roots = os.environ.get("DIGITS_ROOT_CERTIFICATES")
    async with AsyncClient(root_certificates=roots, timeout=TIMEOUT_SECONDS) as client:
        app.state.client = measured(client)
        yield
    if several_workers():
        mark_process_dead(os.getpid())


app = FastAPI(lifespan=lifespan)


def its_client(request: Request) -> AsyncClient:
    client: AsyncClient = request.app.state.client
    return client


Digits = Annotated[AsyncClient, Depends(its_client)]


@app.post("/digit")
async def digit(client: Digits, file: Annotated[UploadFile, File()]) -> dict[str, Any]:
    """The digit in an uploaded picture. Calls that come at the same time run at the same time."""
    if (file.size or 0) > MOST_BYTES:
        raise HTTPException(413, f"a picture has at most {MOST_BYTES:,} bytes")
    answer = await client.predict(await file.read())  # its bytes: a string would be the path of a file on this machine
    return {"digit": answer.digit, "confidence": answer.confidence, "worker": os.getpid()}


@app.get("/healthz")
async def live() -> str:
    """Whether this worker runs. It asks nobody else: a worker is not restarted because the Digits server is down."""
    return "ok"


@app.get("/readyz")
async def ready(client: Digits) -> str:
    """Whether predictions would be answered now."""
    if not await client.health(timeout=HEALTH_SECONDS):
        raise HTTPException(503, "the Digits server is not serving")
    return "ok"


@app.exception_handler(DigitsError)
async def failed(_: Request, error: Exception) -> JSONResponse:
    """Every DigitsError that an endpoint raises, as an HTTP response."""
    status = next(status for kind, status in STATUSES if isinstance(error, kind))
    if status >= 500:
        log.warning("%s: %s", type(error).__name__, error)
    seconds = getattr(error, "retry_after_seconds", None)
    return JSONResponse(
        {"detail": str(error) if status < 500 else APOLOGY},
        status,
        {"retry-after": str(max(1, round(seconds or 1)))} if status == 503 else None,
    )


@app.get("/metrics")
def metrics() -> Response:
    """Of all workers where PROMETHEUS_MULTIPROC_DIR is set; else of the worker that happens to be asked."""
    registry = REGISTRY
    if several_workers():
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def several_workers() -> bool:
    return "PROMETHEUS_MULTIPROC_DIR" in os.environ
