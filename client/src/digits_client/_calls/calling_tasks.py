"""The base of `AsyncClient`: its connection, calls over it, and their errors."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc

from digits.v1.prediction_pb2 import GetModelRequest
from digits_client import _shared
from digits_client._answers.results import Predictions
from digits_client._calls.bulk_tasks import TaskBulk
from digits_client._calls.caller import Caller
from digits_client._coalescing.calls import Kind
from digits_client._connection import health
from digits_client._connection.connections import TaskConnection
from digits_client._connection.metadata import Pairs
from digits_client._errors import ClientClosed, DeadlineExceeded, DigitsError, Unavailable

Reply = TypeVar("Reply")


class TaskCaller(Caller):
    """Calls a server from one event loop. `own` is the metadata of one call of the public methods."""

    _awaits_tokens = True

    def _prepare(self) -> None:
        self._connected: TaskConnection | None = None
        self._replaced: list[TaskConnection] = []

    async def close(self) -> None:
        """Closes the connections. Calls that wait or are in flight fail with ClientClosed."""
        if self._connected:
            self._connected.check_usable()
        self._closed = True
        connections = [*self._replaced, *([self._connected] if self._connected else [])]
        self._replaced, self._connected = [], None
        for connection in connections:
            await connection.close()

    def _connection(self) -> TaskConnection:
        if self._closed:
            raise ClientClosed
        if self._connected is None:
            self._connected = TaskConnection(self._endpoint, self._coalescing, self._tracing)
        self._connected.check_usable()
        return self._connected

    def _bulk(self, asked: Kind, deadline: Callable[[], float], own: Pairs) -> TaskBulk:
        async def call(request: Any, timeout: float) -> Any:
            return await self._call(self._connection().stub.Predict, request, timeout, own)

        return TaskBulk(call, asked, deadline, self._endpoint.retries, self._on_retry)

    async def _named(self, part: Predictions, deadline: float, own: Pairs) -> Predictions:
        """The answers of one RPC with their labels."""
        await self._learn(int(part.model_versions[0]), deadline, own)
        return self._labels.all_named(part)

    async def _learn(self, version: int, deadline: float, own: Pairs) -> None:
        """Asks for the labels of a version unless they are known."""
        if self._labels.unknown(version, now := time.monotonic()):
            get = self._connection().stub.GetModel
            self._labels.learn(await self._call(get, GetModelRequest(), _shared.left(deadline), own), version, now)

    async def _renew(self, deadline: float) -> None:
        """As `ThreadCaller._renew`."""
        fresh = TaskConnection(self._endpoint, self._coalescing, self._tracing)
        try:
            if not await self._not_ready(fresh, deadline):
                self._replaced.append(self._connection())
                self._connected = fresh
        finally:
            if self._connected is not fresh:
                await fresh.close()

    async def _not_ready(self, connection: TaskConnection, deadline: float) -> DigitsError | None:
        """Why the server does not answer predictions over this connection; None: it answers them."""
        request = health.request(_shared.SERVICE)
        try:
            serves = health.is_serving(await self._call(connection.check, request, _shared.left(deadline), ()))
            return None if serves else Unavailable(_shared.NOT_SERVING)
        except (Unavailable, DeadlineExceeded) as error:
            return error

    async def _call(
        self, method: Callable[..., Awaitable[Reply]], request: object, timeout: float, own: Pairs
    ) -> Reply:
        try:
            return await method(request, timeout=timeout, metadata=own)
        except grpc.aio.AioRpcError as error:
            raise self._error(error) from error
        except asyncio.CancelledError as error:
            # Closing the channel cancels its RPCs, and gRPC reports that as if the task had been cancelled.
            if self._closed and not _shared.task_is_cancelled():
                raise ClientClosed from error
            raise
