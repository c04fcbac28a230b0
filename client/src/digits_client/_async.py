"""The client for one event loop."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from contextlib import aclosing
from itertools import count
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
from numpy.typing import NDArray

from digits.v1.prediction_pb2 import GetModelRequest, GetModelResponse
from digits_client import _coalescing, _health, _limits, _shared
from digits_client._channel import Endpoint, Pem
from digits_client._chunks import Chunk, encoded, located
from digits_client._coalescing import Coalescing
from digits_client._connections import TaskConnection, tracer
from digits_client._errors import ClientClosed, DeadlineExceeded, DigitsError, Unavailable, from_rpc
from digits_client._images import Image, blocks, encode
from digits_client._reader import Reader
from digits_client._results import Prediction, Predictions, concatenated
from digits_client._tokens import Token

Reply = TypeVar("Reply")


class AsyncClient:
    """Calls a Digits server from one event loop. An async context manager that closes its connections.

    Every call takes a `timeout` in seconds, retries included (default: that of the client), and raises a DigitsError.
    A call that finds the server UNAVAILABLE is tried again, up to four times in all, within its timeout.
    Calls of `predict` that happen at the same time share RPCs.
    """

    def __init__(
        self,
        target: str = "localhost:50051",
        *,
        timeout: float | None = _limits.TIMEOUT_SECONDS,
        coalescing: Coalescing | None = _coalescing.DEFAULT,
        tls: bool = False,
        root_certificates: Pem | None = None,
        certificate_chain: Pem | None = None,
        private_key: Pem | None = None,
        server_name: str | None = None,
        token: Token | None = None,
        token_in_plaintext: bool = False,
        tracing: bool = False,
    ) -> None:
        """Connects at the first call, and belongs to the event loop that makes it; parameters as of `Client`."""
        self._endpoint = Endpoint(
            target=target,
            tls=tls,
            root_certificates=root_certificates,
            certificate_chain=certificate_chain,
            private_key=private_key,
            server_name=server_name,
            token=token,
            token_in_plaintext=token_in_plaintext,
        )
        self._timeout = _shared.seconds(timeout)
        self._coalescing = coalescing
        self._tracing = tracer() if tracing else None
        self._closed = False
        self._connected: TaskConnection | None = None
        self._replaced: list[TaskConnection] = []

    async def predict(
        self,
        image: Image,
        *,
        probabilities: bool = False,
        model_version: int = 0,
        convert: bool = False,
        timeout: float | None = None,
    ) -> Prediction:
        """The digit in one image; see `Client.predict`."""
        seconds = self._seconds(timeout)
        asked = _shared.kind(model_version, probabilities=probabilities)
        # An array, the usual case, is spared a coroutine: at tens of thousands of calls a second it counts.
        sendable = encode(image, convert=convert) if not blocks(image) else await encoded(image, convert=convert)
        connection = self._connection()
        if connection.coalescer and not sendable.is_file:
            return await connection.coalescer.predict(sendable.data, asked, seconds)
        request = _shared.request([sendable.data], asked, are_files=sendable.is_file)
        return _shared.answers(await self._call(connection.stub.Predict, request, seconds), 1, asked)[0]

    async def predict_batch(
        self,
        images: NDArray[Any] | Iterable[Image] | AsyncIterable[Image],
        *,
        probabilities: bool = False,
        model_version: int = 0,
        convert: bool = False,
        timeout: float | None = None,
    ) -> Predictions:
        """The digits in any number of images, in their order; see `Client.predict_batch`."""
        asked = _shared.kind(model_version, probabilities=probabilities)
        deadline = _shared.deadline_of_each_rpc(timeout, self._timeout)
        parts: list[Predictions] = []
        try:
            reader = Reader(images, asked, convert=convert)
            async with aclosing(self._parts(reader, deadline, asked)) as answers:
                async for part in answers:
                    parts.append(part)  # noqa: PERF401  # what has come must outlive an error
        except DigitsError as error:
            raise _shared.explained(error, parts, asked)  # noqa: B904  # it is the same error
        return concatenated(parts, probabilities=asked.probabilities)

    async def predict_iter(
        self,
        images: NDArray[Any] | Iterable[Image] | AsyncIterable[Image],
        *,
        probabilities: bool = False,
        model_version: int = 0,
        convert: bool = False,
        timeout: float | None = None,
        batch_size: int | None = None,
    ) -> AsyncGenerator[Prediction, None]:
        """The same as an asynchronous generator; see `Client.predict_iter`.

        It reads a little ahead. While no RPC is in flight and an asynchronous source has nothing ready, what it has
        given so far is sent; and answers are given as they come, also while the source pauses.
        """
        deadline = _shared.deadline_of_each_rpc(None, self._seconds(timeout))
        asked = _shared.kind(model_version, probabilities=probabilities)
        reader = Reader(images, asked, convert=convert, size=_shared.size(batch_size))
        async with aclosing(self._parts(reader, deadline, asked, early=True)) as answers:
            async for part in answers:
                for prediction in part:
                    yield prediction

    async def model(self, *, timeout: float | None = None) -> GetModelResponse:
        """What is served; see `Client.model`."""
        return await self._call(self._connection().stub.GetModel, GetModelRequest(), self._seconds(timeout))

    async def health(self, *, timeout: float | None = None) -> bool:
        """Whether the server says that it answers predictions now."""
        request = _health.request(_shared.SERVICE)
        return _health.is_serving(await self._call(self._connection().check, request, self._seconds(timeout)))

    async def wait_ready(self, timeout: float | None = _limits.TIMEOUT_SECONDS) -> None:
        """Returns once the server answers predictions. DeadlineExceeded when it does not within `timeout` seconds."""
        deadline = time.monotonic() + (limit := _shared.seconds(timeout))
        while reason := await self._not_ready(self._connection(), deadline):
            if time.monotonic() + _limits.POLL_SECONDS >= deadline:
                raise DeadlineExceeded(f"the server was not ready within {limit:g} seconds") from reason
            if _shared.is_unresolved(reason):
                await self._renew(deadline)
            await asyncio.sleep(_limits.POLL_SECONDS)

    async def close(self) -> None:
        """Closes the connections. What waits or is on the way fails with ClientClosed."""
        if self._connected:
            self._connected.check_usable()
        self._closed = True
        connections = [*self._replaced, *([self._connected] if self._connected else [])]
        self._replaced, self._connected = [], None
        for connection in connections:
            await connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    def _connection(self) -> TaskConnection:
        if self._closed:
            raise ClientClosed
        if self._connected is None:
            self._connected = TaskConnection(self._endpoint, self._coalescing, self._tracing)
        self._connected.check_usable()
        return self._connected

    async def _parts(
        self, reader: Reader, deadline: Callable[[], float], asked: _coalescing.Kind, *, early: bool = False
    ) -> AsyncGenerator[Predictions, None]:
        """The answers of the chunks in their order. early: an incomplete chunk is sent when nothing is in flight."""
        in_flight: deque[asyncio.Task[Predictions]] = deque()
        most = 1
        try:
            while True:
                reader.changed.clear()
                while len(in_flight) < most and (chunk := reader.take(incomplete=early and not in_flight)):
                    most = chunk.rpcs_in_flight
                    in_flight.append(asyncio.create_task(self._part(chunk, deadline(), asked)))
                    in_flight[-1].add_done_callback(lambda _: reader.changed.set())
                if in_flight and in_flight[0].done():
                    yield await in_flight.popleft()
                elif reader.ended and not in_flight:
                    return
                else:
                    await reader.changed.wait()
        finally:
            for task in in_flight:
                task.cancel()
            await asyncio.gather(reader.close(), *in_flight, return_exceptions=True)

    async def _part(self, chunk: Chunk, deadline: float, asked: _coalescing.Kind) -> Predictions:
        for refusals in count():
            try:
                reply = await self._call(self._connection().stub.Predict, chunk.request, _shared.left(deadline))
                return _shared.predictions(reply, chunk.count, asked)
            except DigitsError as error:
                delay = _shared.retry_delay(error, refusals, deadline)
                if delay is None:
                    raise located(error, chunk)  # noqa: B904  # it is the same error
            await asyncio.sleep(delay)
        raise AssertionError  # not reached: the loop has no end

    async def _renew(self, deadline: float) -> None:
        """As that of `Client`."""
        fresh = TaskConnection(self._endpoint, self._coalescing, self._tracing)
        try:
            if not await self._not_ready(fresh, deadline):
                self._replaced.append(self._connection())
                self._connected = fresh
        finally:
            if self._connected is not fresh:
                await fresh.close()

    async def _not_ready(self, connection: TaskConnection, deadline: float) -> DigitsError | None:
        """Why the server answers no predictions over this connection; None: it does."""
        request = _health.request(_shared.SERVICE)
        try:
            serves = _health.is_serving(await self._call(connection.check, request, _shared.left(deadline)))
            return None if serves else Unavailable(_shared.NOT_SERVING)
        except (Unavailable, DeadlineExceeded) as error:
            return error

    async def _call(self, method: Callable[..., Awaitable[Reply]], request: object, timeout: float) -> Reply:
        try:
            return await method(request, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise (ClientClosed() if self._closed else from_rpc(error)) from error
        except asyncio.CancelledError as error:
            # Closing the channel cancels its RPCs, and gRPC reports that as if the task had been cancelled.
            task = asyncio.current_task()
            if self._closed and not (task and task.cancelling()):
                raise ClientClosed from error
            raise

    def _seconds(self, timeout: float | None) -> float:
        return self._timeout if timeout is None else _shared.seconds(timeout)
