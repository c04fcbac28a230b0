"""The Open Inference Protocol over HTTP: the routes below /v2."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from digits_server.errors import NotFound, ServingError
from digits_server.observability.metrics import HttpMetrics
from digits_server.open_inference import rest
from digits_server.open_inference.protocol import OpenInference, Question
from digits_server.service.offload import Offload
from digits_server.settings import MODEL_NAME
from digits_server.web.calls import HttpCall, read_body, while_connected
from digits_server.web.errors import CLIENT_GONE, error_response, failure_response
from digits_server.web.in_flight import InFlight
from digits_server.web.routes import Endpoint, counted

MODELS = ("/v2/models/{name}", "/v2/models/{name}/versions/{version}")

INLINE_BYTES = 8 * 1024
"""Of a body, or of the tensors of an answer, that are read or written on the event loop: handing them over would take
longer. An image as JSON has 2 to 4 KiB."""

Result = TypeVar("Result")

ANY_METHOD = ("GET", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True, slots=True)
class OpenInferenceRoutes:
    """Answers over HTTP what `inference` answers.

    offload         where large bodies are read
    max_body_bytes  bytes of one request's body
    seconds         from a request's headers to its answer, at most
    """

    inference: OpenInference
    in_flight: InFlight
    metrics: HttpMetrics
    offload: Offload
    max_body_bytes: int
    seconds: float

    def routes(self) -> list[Route]:
        """Every route below /v2. The last one says of anything else that it is not there, in the protocol's way."""
        return [
            self._route("/v2", self._server_metadata),
            self._route("/v2/", self._server_metadata),
            self._route("/v2/health/live", self._server_live),
            self._route("/v2/health/ready", self._server_ready),
            *(self._route(model, self._model_metadata) for model in MODELS),
            *(self._route(f"{model}/ready", self._model_ready) for model in MODELS),
            *(self._route(f"{model}/infer", self._infer, "POST") for model in MODELS),
            self._route("/v2/{rest:path}", self._unknown, *ANY_METHOD),
        ]

    def _route(self, path: str, endpoint: Endpoint, *methods: str) -> Route:
        """`endpoint` with its errors as answers, and every answer counted under its path."""

        async def answer(request: Request) -> Response:
            return await _answer(endpoint, request)

        return counted(self.metrics, path, answer, *methods)

    async def _server_live(self, _request: Request) -> Response:
        return JSONResponse({"live": True})

    async def _server_ready(self, _request: Request) -> Response:
        return _readiness({"ready": self.inference.ready})

    async def _model_ready(self, request: Request) -> Response:
        name, version = _model(request)
        return _readiness({"name": MODEL_NAME, "ready": self.inference.model_ready(name, version)})

    async def _server_metadata(self, _request: Request) -> Response:
        return JSONResponse(rest.server_metadata())

    async def _model_metadata(self, request: Request) -> Response:
        return JSONResponse(rest.model_metadata(self.inference.model_metadata(*_model(request))))

    async def _infer(self, request: Request) -> Response:
        deadline = asyncio.get_running_loop().time() + self.seconds
        with self.in_flight:
            with self.inference.service.metrics.rejections:
                body = await read_body(request, self.max_body_bytes, deadline)
            call = HttpCall(deadline, request.client, request.headers)
            content, headers = await while_connected(request, self._answer(request, body, call), deadline)
        return Response(content, headers=headers)

    async def _answer(self, request: Request, body: bytes, call: HttpCall) -> tuple[bytes, dict[str, str]]:
        """The body and the headers of the answer to a question. What takes long is done beside the event loop."""
        header_length = request.headers.get(rest.HEADER_LENGTH)

        def read() -> tuple[Question, rest.ReplyForm]:
            asked, form = rest.infer_request(body, header_length, *_model(request))
            return self.inference.read(asked), form

        async def beside(work: Callable[[], Result], size: int) -> Result:
            if size <= INLINE_BYTES:
                return work()
            return await self.offload.run(work, peer=call.peer, size=size, deadline=call.deadline)

        with self.inference.service.metrics.rejections:
            question, form = await beside(read, len(body))
        reply = await self.inference.answer(question, call)
        return await beside(lambda: rest.infer_response(reply, form), sum(each.values.nbytes for each in reply.outputs))

    async def _unknown(self, _request: Request) -> Response:
        raise NotFound("the protocol has no such path, or not with this method")


async def _answer(endpoint: Endpoint, request: Request) -> Response:
    try:
        return await endpoint(request)
    except ServingError as error:
        return error_response(error)
    except ClientDisconnect:
        return Response(status_code=CLIENT_GONE)
    except Exception as error:  # noqa: BLE001 - it is logged
        return failure_response(request, error)


def _model(request: Request) -> tuple[str, str]:
    """The name and the version, "" for the current one, in a request's path."""
    return request.path_params["name"], request.path_params.get("version", "")


def _readiness(content: dict[str, Any]) -> Response:
    return JSONResponse(content, 200 if content["ready"] else 503)
