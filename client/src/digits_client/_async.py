"""The client for one event loop."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Iterable, Iterator
from contextlib import aclosing
from types import TracebackType
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from digits.v1.prediction_pb2 import GetModelRequest, PredictRequest
from digits_client import _limits, _shared
from digits_client._answers.models import ModelInfo, model_info
from digits_client._answers.results import Prediction, Predictions, concatenated
from digits_client._calls.calling_tasks import TaskCaller
from digits_client._calls.stream_tasks import TaskStream
from digits_client._coalescing.stats import Stats
from digits_client._connection import health
from digits_client._connection.metadata import Metadata, pairs
from digits_client._errors import DeadlineExceeded, DigitsError
from digits_client._inputs.chunks import Chunker, async_chunks, encoded
from digits_client._inputs.images import Image, blocks, encode
from digits_client._inputs.reader import Reader

if TYPE_CHECKING:
    from typing_extensions import Self


class AsyncClient(TaskCaller):
    """Calls a Digits server from one event loop. An async context manager that closes its connections.

    Every call takes a `timeout` in seconds, retries included (default: that of the client), and raises a DigitsError.
    A call that finds the server UNAVAILABLE is tried again, up to five times in all, within its timeout.
    Calls of `predict` that happen at the same time share RPCs, unless they have their own metadata or request id; see
    `Client`.
    """

    async def predict(
        self,
        image: Image,
        *,
        probabilities: bool = False,
        labels: bool = False,
        unlike: bool = False,
        model_version: int = 0,
        convert: bool = False,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        request_id: str | None = None,
    ) -> Prediction:
        """The digit in one image; see `Client.predict`."""
        seconds = self._seconds(timeout)
        deadline = time.monotonic() + seconds if labels else 0.0
        asked = _shared.kind(model_version, probabilities=probabilities, unlike=unlike)
        own = pairs(metadata, request_id)
        # An array, the usual case, needs no coroutine: at tens of thousands of calls a second this matters.
        sendable = encode(image, convert=convert) if not blocks(image) else await encoded(image, convert=convert)
        connection = self._connection()
        if connection.coalescer and not sendable.is_file and not own:
            answer = await connection.coalescer.predict(sendable.data, asked, seconds)
        else:
            request = _shared.request([sendable.data], asked, are_files=sendable.is_file)
            answer = _shared.answers(await self._call(connection.stub.Predict, request, seconds, own), 1, asked)[0]
        if labels:
            await self._learn(answer.model_version, deadline, own)
            return self._labels.named(answer)
        return answer

    async def predict_batch(
        self,
        images: NDArray[Any] | Iterable[Image] | AsyncIterable[Image],
        *,
        probabilities: bool = False,
        labels: bool = False,
        unlike: bool = False,
        model_version: int = 0,
        convert: bool = False,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        request_id: str | None = None,
    ) -> Predictions:
        """The digits in any number of images, in their order; see `Client.predict_batch`."""
        asked = _shared.kind(model_version, probabilities=probabilities, unlike=unlike)
        deadline = _shared.deadline_of_each_rpc(timeout, self._timeout)
        own = pairs(metadata, request_id)
        parts: list[Predictions] = []
        try:
            reader = Reader(images, asked, convert=convert, sizes=self._endpoint.sizes)
            async with aclosing(self._bulk(asked, deadline, own).parts(reader)) as answers:
                async for part in answers:
                    answered = await self._named(part, deadline(), own) if labels else part
                    parts.append(answered)
        except DigitsError as error:
            raise _shared.explained(error, parts, asked, labels=labels)  # noqa: B904  # it is the same error
        return concatenated(parts, probabilities=asked.probabilities, unlike=asked.unlike, labels=labels)

    async def predict_iter(
        self,
        images: NDArray[Any] | Iterable[Image] | AsyncIterable[Image],
        *,
        probabilities: bool = False,
        labels: bool = False,
        unlike: bool = False,
        model_version: int = 0,
        convert: bool = False,
        timeout: float | None = None,
        batch_size: int | None = None,
        metadata: Metadata | None = None,
        request_id: str | None = None,
    ) -> AsyncGenerator[Prediction, None]:
        """The same as an asynchronous generator; see `Client.predict_iter`.

        It reads a little ahead. If no RPC is in flight and an asynchronous source has no image ready, the images so far
        are sent. Answers are yielded as they arrive, also while the source pauses.
        """
        deadline = _shared.deadline_of_each_rpc(None, self._seconds(timeout))
        asked = _shared.kind(model_version, probabilities=probabilities, unlike=unlike)
        own = pairs(metadata, request_id)
        reader = Reader(images, asked, convert=convert, sizes=self._endpoint.sizes.at_most(batch_size))
        async with aclosing(self._bulk(asked, deadline, own).parts(reader, early=True)) as answers:
            async for part in answers:
                for prediction in await self._named(part, deadline(), own) if labels else part:
                    yield prediction

    async def predict_stream(
        self,
        images: NDArray[Any] | Iterable[Image] | AsyncIterable[Image],
        *,
        probabilities: bool = False,
        labels: bool = False,
        unlike: bool = False,
        model_version: int = 0,
        convert: bool = False,
        timeout: float | None = None,
        batch_size: int | None = None,
        metadata: Metadata | None = None,
        request_id: str | None = None,
    ) -> AsyncGenerator[Prediction, None]:
        """The digits of a live source over one RPC; see `Client.predict_stream`.

        images  use an asynchronous iterable for a source that waits: a plain one blocks the event loop meanwhile
        """
        seconds = self._seconds(timeout)
        asked = _shared.kind(model_version, probabilities=probabilities, unlike=unlike)
        own = pairs(metadata, request_id)
        line = async_chunks(
            images,
            Chunker(asked, self._endpoint.sizes.at_most(1 if batch_size is None else batch_size)),
            convert=convert,
        )
        connection = self._connection()

        def begin(requests: Iterator[PredictRequest]) -> Awaitable[Any]:
            return connection.begin_stream(requests, own, seconds)

        async with aclosing(TaskStream(begin, self._error, asked, seconds).parts(line)) as answers:
            async for part in answers:
                for prediction in await self._named(part, time.monotonic() + seconds, own) if labels else part:
                    yield prediction

    async def model(
        self, *, timeout: float | None = None, metadata: Metadata | None = None, request_id: str | None = None
    ) -> ModelInfo:
        """The model that is served; see `Client.model`."""
        own = pairs(metadata, request_id)
        get = self._connection().stub.GetModel
        return model_info(await self._call(get, GetModelRequest(), self._seconds(timeout), own))

    async def health(
        self, *, timeout: float | None = None, metadata: Metadata | None = None, request_id: str | None = None
    ) -> bool:
        """Whether the server says that it answers predictions now."""
        own = pairs(metadata, request_id)
        request = health.request(_shared.SERVICE)
        return health.is_serving(await self._call(self._connection().check, request, self._seconds(timeout), own))

    async def wait_ready(self, timeout: float | None = _limits.TIMEOUT_SECONDS) -> None:
        """Returns when the server answers predictions. Raises DeadlineExceeded after `timeout` seconds."""
        deadline = time.monotonic() + (limit := _shared.seconds(timeout))
        while reason := await self._not_ready(self._connection(), deadline):
            if time.monotonic() + _limits.POLL_SECONDS >= deadline:
                raise DeadlineExceeded(f"the server was not ready within {limit:g} seconds") from reason
            if _shared.is_unresolved(reason):
                await self._renew(deadline)
            await asyncio.sleep(_limits.POLL_SECONDS)

    def stats(self) -> Stats:
        """Counts of how calls share RPCs. Does not ask a server; do not await it."""
        return self._connected.stats() if self._connected else Stats()

    async def __aenter__(self) -> "Self":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()
