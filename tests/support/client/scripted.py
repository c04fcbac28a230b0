"""A PredictionService that follows a test's script: it answers, fails or holds calls, and remembers each one."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NoReturn, Self

import grpc

from digits.v1.prediction_pb2 import GetModelResponse, PredictRequest, PredictResponse

Answer = Callable[[PredictRequest], PredictResponse]
HOLD_SECONDS = 30.0
"""Longest time for which a call is held, so that a failing test ends."""
THREADS = 64
SERVING, NOT_SERVING = 1, 2
"""Of grpc.health.v1.HealthCheckResponse."""


class Refused(Exception):
    """The error with which an answer ends its call: a status, and perhaps a delay in milliseconds before a retry."""

    def __init__(
        self, status: grpc.StatusCode, message: str = "refused by the script", pushback: int | None = None
    ) -> None:
        super().__init__(message)
        self.pushback = pushback
        self.status = status
        self.message = message


def first_pixels(request: PredictRequest) -> PredictResponse:
    """Digit: the first byte of each image modulo 10. Confidence: that byte / 255. So an answer names its image."""
    count = len(request.images) // 784
    first = [request.images[784 * index] for index in range(count)] or [file[0] for file in request.image_files]
    digits = [value % 10 for value in first]
    return PredictResponse(
        digits=digits,
        confidences=[value / 255 for value in first],
        probabilities=[float(digit == place) for digit in digits for place in range(10)]
        if request.include_probabilities
        else [],
        model_version=request.model_version or 1,
    )


def refusing(
    status: grpc.StatusCode,
    times: int | None = None,
    message: str = "refused by the script",
    pushback: int | None = None,
) -> Answer:
    """Fails the first `times` calls (None: every call), then answers."""
    left = [times]
    lock = threading.Lock()

    def answer(request: PredictRequest) -> PredictResponse:
        with lock:
            refuse = left[0] is None or left[0] > 0
            left[0] = left[0] and left[0] - 1
        if refuse:
            raise Refused(status, message, pushback)
        return first_pixels(request)

    return answer


class Gate:
    """Holds calls until it is opened; counts the calls that have arrived."""

    def __init__(self, answer: Answer = first_pixels) -> None:
        self._answer = answer
        self._open = threading.Event()

    def __call__(self, request: PredictRequest) -> PredictResponse:
        assert self._open.wait(HOLD_SECONDS), "the gate was never opened"
        return self._answer(request)

    def open(self) -> None:
        self._open.set()


@dataclass
class ScriptedServer:
    """Listens on entry, ends on exit. `answer` may be replaced at any time.

    answer   the function that answers Predict
    serving  the answer of health
    address  where to listen; port 0 takes a free one
    """

    answer: Answer = first_pixels
    serving: bool = True
    address: str = "127.0.0.1:0"
    requests: list[PredictRequest] = field(default_factory=list)
    deadlines: list[float | None] = field(default_factory=list)
    """Seconds each call had left when it arrived."""
    contexts: list[grpc.ServicerContext] = field(default_factory=list)
    model: GetModelResponse = field(default_factory=lambda: GetModelResponse(runtime="scripted"))
    models_asked: list[grpc.ServicerContext] = field(default_factory=list)
    """The calls of GetModel."""
    health_asked: list[grpc.ServicerContext] = field(default_factory=list)
    """The calls of Check."""
    streams: list[grpc.ServicerContext] = field(default_factory=list)
    """The calls of PredictStream; their requests are among `requests`."""

    def __enter__(self) -> Self:
        self._server = grpc.server(ThreadPoolExecutor(THREADS), options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers(self._handlers())
        self.port = self._server.add_insecure_port(self.address)
        self._server.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if isinstance(self.answer, Gate):
            self.answer.open()
        self._server.stop(None).wait(HOLD_SECONDS)

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def calls(self) -> list[grpc.ServicerContext]:
        """Of every RPC."""
        return [*self.contexts, *self.streams, *self.models_asked, *self.health_asked]

    @property
    def sizes(self) -> list[int]:
        """Images in each Predict that arrived."""
        return [len(request.image_files) or len(request.images) // 784 for request in list(self.requests)]

    def _handlers(self) -> list[grpc.GenericRpcHandler]:
        predict: Any = grpc.unary_unary_rpc_method_handler(
            self._predict, PredictRequest.FromString, PredictResponse.SerializeToString
        )
        model: Any = grpc.unary_unary_rpc_method_handler(self._model)
        stream: Any = grpc.stream_stream_rpc_method_handler(
            self._stream, PredictRequest.FromString, PredictResponse.SerializeToString
        )
        check: Any = grpc.unary_unary_rpc_method_handler(self._check)
        return [
            grpc.method_handlers_generic_handler(
                "digits.v1.PredictionService", {"Predict": predict, "PredictStream": stream, "GetModel": model}
            ),
            grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": check}),
        ]

    def _predict(self, request: PredictRequest, context: grpc.ServicerContext) -> PredictResponse:
        self.contexts.append(context)
        self.deadlines.append(context.time_remaining())
        self.requests.append(request)
        try:
            return self.answer(request)
        except Refused as refused:
            _abort(refused, context)

    def _model(self, _request: bytes, context: grpc.ServicerContext) -> bytes:
        self.models_asked.append(context)
        return self.model.SerializeToString()

    def _check(self, _request: bytes, context: grpc.ServicerContext) -> bytes:
        self.health_asked.append(context)
        return bytes([8, SERVING if self.serving else NOT_SERVING])

    def _stream(self, requests: Iterator[PredictRequest], context: grpc.ServicerContext) -> Iterator[PredictResponse]:
        self.streams.append(context)
        for request in requests:
            self.requests.append(request)
            try:
                yield self.answer(request)
            except Refused as refused:
                _abort(refused, context)


def _abort(refused: Refused, context: grpc.ServicerContext) -> NoReturn:
    if refused.pushback is not None:
        context.set_trailing_metadata((("grpc-retry-pushback-ms", str(refused.pushback)),))
    context.abort(refused.status, refused.message)
