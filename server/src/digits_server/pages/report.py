"""The current model, as the page shows it: its manifest, and the files of its report."""

import asyncio
import json
import logging

from starlette.requests import Request
from starlette.responses import Response

from digits.v1.manifest_pb2 import Manifest
from digits_server.errors import ModelRejected, NotFound, Unavailable
from digits_server.models.source import ModelSource
from digits_server.pages.answers import HEADERS, cached
from digits_server.security.access import Access
from digits_server.serving.registry import ModelRegistry
from digits_server.system.background_thread import BackgroundThread
from digits_server.web.routes import Route

log = logging.getLogger(__name__)

FOLDER = "report/"
"""The folder of a version whose files everyone may see."""

CONTENT_TYPES = {".png": "image/png", ".md": "text/plain; charset=utf-8", ".json": "application/json"}
"""Content types of report files by suffix. Other files, which a browser might run, are not sent."""

READ_SECONDS = 5.0
"""Most seconds to read a file of the report, including the wait for files before it."""

MAX_FILE_BYTES = 1024 * 1024
"""Largest file that is sent: each connection may hold one that its caller does not read. Our files have a tenth of
it."""

MAX_WAITING = 16
"""Files of the report that may wait to be read; further ones are rejected."""

POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"


def routes(models: ModelRegistry, source: ModelSource) -> list[Route]:
    """`/model`, and `/model/VERSION/report/FILE` for the current version."""
    reader = BackgroundThread("report", yields=False)  # works for callers: keeps its priority

    async def model(request: Request) -> Response:
        """The current model."""
        return cached(request, json.dumps(described(models.current.manifest)).encode(), "application/json", HEADERS)

    async def report(request: Request) -> Response:
        """A file of the report, if the verified manifest lists it and the file has not changed."""
        manifest = models.current.manifest
        path = FOLDER + request.path_params["name"]
        listed = next((item for item in manifest.files if item.path == path), None)
        content_type = CONTENT_TYPES.get(path[path.rfind(".") :])
        if manifest.model_version != int(request.path_params["version"]) or listed is None or content_type is None:
            raise NotFound("the current version has no such report file")
        if listed.size_bytes > MAX_FILE_BYTES:
            raise NotFound(
                f"this report file has {listed.size_bytes} bytes; at most {MAX_FILE_BYTES} are sent: read it in the "
                "model repository"
            )
        if reader.waiting >= MAX_WAITING:
            raise Unavailable("the model repository does not answer")
        try:
            async with asyncio.timeout(READ_SECONDS):
                content = await reader.run(lambda: source.read(manifest.model_version, listed))
        except TimeoutError as error:
            raise Unavailable("the model repository does not answer") from error
        except ModelRejected as error:
            log.warning("a report file is not sent: %s", error.message)
            raise NotFound("this report file is no longer what was published") from error
        return cached(request, content, content_type, {**HEADERS, "content-security-policy": POLICY})

    return [
        Route("/model", model, Access.CALLERS),
        Route("/model/{version:int}/report/{name}", report, Access.CALLERS),
    ]


def described(manifest: Manifest) -> dict[str, object]:
    """The part of a manifest that the page shows, as JSON."""
    return {
        "name": manifest.model_name,
        "version": manifest.model_version,
        "network": manifest.training.network,
        "parameters": manifest.training.parameters,
        "labels": list(manifest.labels),
        "test_accuracy": manifest.metrics.test_accuracy,
        "test_images": manifest.metrics.test_images,
        "published": manifest.created_at.ToJsonString() if manifest.HasField("created_at") else None,
        "report": [item.path.removeprefix(FOLDER) for item in manifest.files if item.path.startswith(FOLDER)],
    }
