"""/openapi.json: describes the requests over HTTP, for tools that generate clients, forms and tests.

The statuses are those of `web/errors`; the limits are those of this server.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from digits_server.open_inference.protocol import server_version
from digits_server.pages import openapi_schemas as schemas
from digits_server.pages.answers import HEADERS, cached
from digits_server.security.access import Access
from digits_server.settings import MODEL_NAME, Settings
from digits_server.web.routes import Route

PATH = "/openapi.json"
Document = dict[str, Any]

EVERYWHERE = (401, 403, 405, 421, 429, 500)
"""Statuses that any path may answer with."""

IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp", "image/gif", "application/octet-stream")

NAME = {"name": "name", "in": "path", "required": True, "schema": {"const": MODEL_NAME}, "example": MODEL_NAME}
VERSION = {
    "name": "version",
    "in": "path",
    "required": True,
    "description": "A version that is served: its number, in decimal digits.",
    "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"},
    "example": "1",
}
UNLIKE = {
    "name": "unlike",
    "in": "query",
    "description": "Whether to answer the score of how unlike a digit the picture is.",
    "schema": {"type": "boolean"},
}
FILE = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}, "example": "history.png"}


def routes(settings: Settings) -> list[Route]:
    """`/openapi.json`."""
    body = schemas.encoded(document(settings))

    async def openapi(request: Request) -> Response:
        return cached(request, body, "application/json", HEADERS)

    return [Route(PATH, openapi, Access.CALLERS)]


def document(settings: Settings) -> Document:
    """The document for a server with these settings (OpenAPI 3.1)."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Digits",
            "version": server_version(),
            "summary": "Predictions of handwritten digits over HTTP",
            "description": "The Open Inference Protocol below /v2, and the requests of the page to draw on.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}] if settings.tokens else [],
        "tags": [{"name": "inference", "description": "The Open Inference Protocol"}]
        + [{"name": "page", "description": "Requests of the page"}] * settings.page,
        "paths": {**_inference(settings), **_about(), **(_page(settings) if settings.page else {})},
        "components": {
            "schemas": schemas.SCHEMAS,
            "responses": {str(status): _error(text) for status, text in schemas.ERRORS.items()},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _inference(settings: Settings) -> Document:
    paths: Document = {
        "/v2": {"get": _get("serverMetadata", "Name, version and extensions of the server", "ServerMetadata")},
        "/v2/health/live": {"get": _probe("serverLive", "Whether the process can answer at all", "Live")},
        "/v2/health/ready": {"get": _probe("serverReady", "Whether predictions are answered", "Ready", 503)},
    }
    for path, suffix, parameters in (
        ("/v2/models/{name}", "", [NAME]),
        ("/v2/models/{name}/versions/{version}", "OfVersion", [NAME, VERSION]),
    ):
        metadata = _get(f"modelMetadata{suffix}", "Versions, platform and tensors", "ModelMetadata", 404, 503)
        ready = _get(f"modelReady{suffix}", "Whether the model, or the version, answers", "ModelReady", 404)
        ready["responses"]["503"] = _answer("It does not answer now.", "ModelReady")
        paths[path] = {"parameters": parameters, "get": metadata}
        paths[f"{path}/ready"] = {"parameters": parameters, "get": ready}
        paths[f"{path}/infer"] = {"parameters": parameters, "post": _infer(f"infer{suffix}", settings)}
    return paths


def _infer(name: str, settings: Settings) -> Document:
    binary = {"schema": {"type": "string", "format": "binary", "maxLength": settings.max_message_bytes}}
    asked = {
        "required": True,
        "description": (
            f"At most {settings.max_message_bytes} bytes, and {settings.max_image_files} image files. With the header "
            "inference-header-content-length the bytes of tensors follow the JSON."
        ),
        "content": {
            "application/json": {"schema": _ref("InferRequest"), "examples": schemas.INFER_EXAMPLES},
            "application/octet-stream": binary,
        },
    }
    length = {
        "name": "inference-header-content-length",
        "in": "header",
        "description": "Bytes of JSON at the start of the body, if raw bytes of tensors follow it.",
        "schema": {"type": "integer", "minimum": 0, "maximum": settings.max_message_bytes},
    }
    operation = _operation(name, "Predict digits", 400, 404, 413, 415, 503, 504)
    answer = _answer("The outputs, in the order in which they were asked for.", "InferResponse")
    answer["content"]["application/octet-stream"] = {"schema": {"type": "string", "format": "binary"}}
    operation["responses"]["200"] = answer
    return {**operation, "parameters": [length], "requestBody": asked, "tags": ["inference"]}


def _about() -> Document:
    own = _get("openapi", "This document", "Document")
    del own["tags"]
    return {PATH: {"get": own}}


def _page(settings: Settings) -> Document:
    picture = {"schema": {"type": "string", "format": "binary", "maxLength": settings.max_message_bytes}}
    asked = {
        "required": True,
        "description": f"One image file of at most {settings.max_image_pixels} pixels.",
        "content": dict.fromkeys(IMAGE_TYPES, picture),
    }
    predict = _operation("predict", "Predict the digit of one picture", 400, 413, 415, 503, 504)
    predict["responses"]["200"] = _answer("The digit.", "Prediction")
    model = _get("model", "The model that serves", "Model", 503, tag="page")
    report = _operation("report", "A file of the training report of the version that serves", 404, 503)
    kinds: Document = {"image/png": {}, "text/plain": {}, "application/json": {}}
    report["responses"]["200"] = {"description": "The file.", "content": kinds}
    return {
        "/predict": {"post": {**predict, "parameters": [UNLIKE], "requestBody": asked, "tags": ["page"]}},
        "/model": {"get": model},
        "/model/{version}/report/{name}": {"parameters": [VERSION, FILE], "get": {**report, "tags": ["page"]}},
    }


def _operation(name: str, summary: str, *statuses: int) -> Document:
    """An operation, with every error it may answer with."""
    errors = {str(status): {"$ref": f"#/components/responses/{status}"} for status in (*EVERYWHERE, *statuses)}
    return {"operationId": name, "summary": summary, "responses": dict(sorted(errors.items()))}


def _get(name: str, summary: str, schema: str, *statuses: int, tag: str = "inference") -> Document:
    operation = _operation(name, summary, *statuses)
    operation["responses"]["200"] = _answer(f"{summary}.", schema)
    return {**operation, "tags": [tag]}


def _probe(name: str, summary: str, schema: str, *unready: int) -> Document:
    """An operation without a token, unless --http-open says otherwise."""
    operation = _get(name, summary, schema)
    operation["responses"] |= {str(status): _answer("Not now.", schema) for status in unready}
    return {**operation, "security": []}


def _answer(text: str, schema: str) -> Document:
    return {"description": text, "content": {"application/json": {"schema": _ref(schema)}}}


def _error(text: str) -> Document:
    return _answer(text, "Error")


def _ref(schema: str) -> Document:
    return {"$ref": f"#/components/schemas/{schema}"}
