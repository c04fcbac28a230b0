"""The replacement for a server: fixed answers, for any number of images."""

import copy
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from threading import Lock
from typing import Any, TypeAlias

from digits.v1.prediction_pb2 import GetModelRequest, GetModelResponse, PredictRequest, PredictResponse
from digits_client._connection.health import SERVING
from digits_client._errors import DigitsError, InvalidInput, NotFound
from digits_client._inputs.arrays import PIXELS

Answer: TypeAlias = int | tuple[int, float] | DigitsError
"""A digit; a digit and its confidence; or an error, which is raised."""

CONFIDENCE = 0.9
"""The confidence of a digit that is given without one."""


class FixedAnswers:
    """Answers requests as a server would, one fixed answer after the other, and again from the first.

    requests  every request for predictions so far
    """

    def __init__(self, answers: Answer | Sequence[Answer], model_version: int, labels: Sequence[str]) -> None:
        """Raises InvalidInput for an invalid answer."""
        self._answers = list(answers) if isinstance(answers, Sequence) and not _is_pair(answers) else [answers]
        if not self._answers:
            raise InvalidInput("answers: expected at least one")
        for answer in self._answers:
            _check(answer)
        if len(labels) != 10:
            raise InvalidInput(f"labels: expected ten names; got {len(labels)}")
        self._version = model_version
        self._labels = labels
        self._given = 0
        self._lock = Lock()
        self.requests: list[PredictRequest] = []

    def predict(self, request: PredictRequest) -> PredictResponse:
        """The answers for the images of one request. Raises the first error among them, or NotFound."""
        count = len(request.image_files) or len(request.images) // PIXELS
        with self._lock:
            self.requests.append(request)
            if request.model_version not in (0, self._version):
                raise NotFound(f"model_version: {request.model_version} does not exist")
            chosen = [self._answers[(self._given + place) % len(self._answers)] for place in range(count)]
            self._given += count
        reply = PredictResponse(model_version=self._version)
        for answer in chosen:
            if isinstance(answer, DigitsError):
                raise copy.copy(answer)  # the client writes into it
            digit, confidence = answer if isinstance(answer, tuple) else (answer, CONFIDENCE)
            reply.digits.append(digit)
            reply.confidences.append(confidence)
            if request.include_probabilities:
                rest = (1 - confidence) / 9
                reply.probabilities.extend(confidence if each == digit else rest for each in range(10))
        return reply

    def model(self, _: GetModelRequest) -> GetModelResponse:
        """A model that serves, without files or figures."""
        reply = GetModelResponse(runtime="fake")
        reply.manifest.model_name = "digits"
        reply.manifest.model_version = self._version
        reply.manifest.labels.extend(self._labels)
        reply.manifest.training.network = "fake"
        reply.versions.add(version=self._version, state=1)
        return reply

    def check(self, _: bytes) -> bytes:
        """The health of a server that serves."""
        return bytes([0x08, SERVING])


class Call(Iterator[PredictResponse]):
    """A stream of one caller."""

    def __init__(self, replies: Iterator[PredictResponse]) -> None:
        self._replies = replies

    def __next__(self) -> PredictResponse:
        return next(self._replies)

    def cancel(self) -> None:
        """No RPC is in flight, so there is nothing to cancel."""


class ThreadMethod:
    """An RPC with the interface of gRPC's stubs for threads."""

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        self._answer = answer

    def __call__(self, request: Any, **_: Any) -> Any:
        return self._answer(request)

    def future(self, request: Any, **_: Any) -> "Future[Any]":
        """The answer, or its error, at once."""
        future: Future[Any] = Future()
        try:
            future.set_result(self._answer(request))
        except DigitsError as error:
            future.set_exception(error)
        return future


class ThreadStub:
    """The part of a connection that `Client` uses."""

    coalescer = None

    def __init__(self, answers: FixedAnswers) -> None:
        self._answers = answers
        self.stub = self
        self.Predict = ThreadMethod(answers.predict)
        self.GetModel = ThreadMethod(answers.model)
        self.check = ThreadMethod(answers.check)

    def begin_stream(self, requests: Iterator[PredictRequest], *_: Any) -> Call:
        return Call(map(self._answers.predict, requests))


class TaskStub:
    """The part of a connection that `AsyncClient` uses."""

    coalescer = None

    def __init__(self, answers: FixedAnswers) -> None:
        self._answers = answers
        self.stub = self
        self.Predict = _awaited(answers.predict)
        self.GetModel = _awaited(answers.model)
        self.check = _awaited(answers.check)

    async def begin_stream(self, requests: Iterator[PredictRequest], *_: Any) -> Call:
        return Call(map(self._answers.predict, requests))


def _awaited(answer: Callable[[Any], Any]) -> Callable[..., Awaitable[Any]]:
    async def method(request: Any, **_: Any) -> Any:
        return answer(request)

    return method


def _is_pair(answers: Sequence[Any]) -> bool:
    """Whether it is one answer, a digit and its confidence, rather than two answers."""
    return isinstance(answers, tuple) and len(answers) == 2 and isinstance(answers[1], float)


def _check(answer: Any) -> None:
    digit, confidence = answer if isinstance(answer, tuple) and _is_pair(answer) else (answer, CONFIDENCE)
    is_digit = isinstance(digit, int) and not isinstance(digit, bool) and 0 <= digit <= 9
    if not isinstance(answer, DigitsError) and not (is_digit and 0 <= confidence <= 1):
        raise InvalidInput(
            f"answers: expected a digit, a digit and its confidence from 0 to 1, or a DigitsError; got {answer!r}"
        )
