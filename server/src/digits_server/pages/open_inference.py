"""The Open Inference Protocol over HTTP: the routes below /v2."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from digits_server.errors import NotFound
from digits_server.open_inference import rest
from digits_server.open_inference.protocol import OpenInference, Question
from digits_server.security.access import Access
from digits_server.service.offload import Offload
from digits_server.settings import MODEL_NAME
from digits_server.web.bodies import Bodies
from digits_server.web.calls import HttpCall, while_connected
from digits_server.web.in_flight import InFlight
from digits_server.web.routes import Route

MODELS = ("/v2/models/{name}", "/v2/models/{name}/versions/{version}")

INLINE_BYTES = 8 * 1024
"""Largest body, or tensors of an answer, that the event loop reads or writes itself: handing them to a thread would
take longer. An image in JSON has 2 to 4 KiB."""

Result = TypeVar("Result")

ANY_METHOD = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True, slots=True)
class OpenInferenceRoutes:
    """Answers over HTTP what `inference` answers.

    offload    where large bodies are read
    bodies     reads the bodies of requests
    seconds    most time from a request's headers to its answer
    """

    inference: OpenInference
    in_flight: InFlight
    offload: Offload
    bodies: Bodies
    seconds: float

    def routes(self) -> list[Route]:
        """Every route below /v2. The last one answers all other paths with the protocol's error."""
        return [
            Route("/v2", self._server_metadata, Access.CALLERS),
            Route("/v2/", self._server_metadata, Access.CALLERS),
            Route("/v2/health/live", self._server_live, Access.PROBES),
            Route("/v2/health/ready", self._server_ready, Access.PROBES),
            *(Route(model, self._model_metadata, Access.CALLERS) for model in MODELS),
            *(Route(f"{model}/ready", self._model_ready, Access.CALLERS) for model in MODELS),
            *(Route(f"{model}/infer", self._infer, Access.CALLERS, ("POST",)) for model in MODELS),
            Route("/v2/{rest:path}", self._unknown, Access.CALLERS, ANY_METHOD),
        ]

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
            body = await self.bodies.read(request, deadline)
            call = HttpCall(deadline, request.client, request.headers)
            content, headers = await while_connected(request, self._answer(request, body, call), deadline)
        return Response(content, headers=headers)

    async def _answer(self, request: Request, body: bytes, call: HttpCall) -> tuple[bytes, dict[str, str]]:
        """The body and the headers of the answer to a question. Slow steps run in a background thread."""
        header_length = request.headers.get(rest.HEADER_LENGTH)

        def read() -> tuple[Question, rest.ReplyForm]:
            asked, form = rest.infer_request(body, header_length, *_model(request))
            return self.inference.read(asked), form

        async def beside(work: Callable[[], Result], size: int) -> Result:
            if size <= INLINE_BYTES:
                return work()
            return await self.offload.run(work, peer=call.peer, size=size, deadline=None)  # it is cancelled then

        question, form = await beside(read, len(body))
        reply = await self.inference.answer(question, call)
        return await beside(lambda: rest.infer_response(reply, form), sum(each.values.nbytes for each in reply.outputs))

    async def _unknown(self, _request: Request) -> Response:
        raise NotFound("the protocol has no such path, or not with this method")


def _model(request: Request) -> tuple[str, str]:
    """The name and the version, "" for the current one, in a request's path."""
    return request.path_params["name"], request.path_params.get("version", "")


def _readiness(content: dict[str, Any]) -> Response:
    return JSONResponse(content, 200 if content["ready"] else 503)
