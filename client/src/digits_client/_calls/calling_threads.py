"""The base of `Client`: its connections, calls over them, and their errors."""

import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

import grpc

from digits.v1.prediction_pb2 import GetModelRequest
from digits_client import _shared
from digits_client._answers.results import Predictions
from digits_client._calls.bulk_threads import ThreadBulk
from digits_client._calls.caller import Caller
from digits_client._coalescing.calls import Kind
from digits_client._connection import health
from digits_client._connection.connections import ThreadConnection
from digits_client._connection.metadata import Pairs
from digits_client._errors import ClientClosed, DeadlineExceeded, DigitsError, Unavailable

Reply = TypeVar("Reply")


class ThreadCaller(Caller):
    """Calls a server from threads. `own` is the metadata of one call of the public methods."""

    _awaits_tokens = False

    def _prepare(self) -> None:
        self._connections: dict[int, ThreadConnection] = {}  # by process: a forked child makes its own
        self._replaced: dict[int, list[ThreadConnection]] = {}

    def close(self) -> None:
        """Closes the connections. Calls that wait or are in flight fail with ClientClosed."""
        self._closed = True
        for connection in (self._connections.pop(os.getpid(), None), *self._replaced.pop(os.getpid(), [])):
            if connection:
                connection.close()

    def _connection(self) -> ThreadConnection:
        if self._closed:
            raise ClientClosed
        return self._connections.get(os.getpid()) or self._connect()

    def _connect(self) -> ThreadConnection:
        made = ThreadConnection(self._endpoint, self._coalescing, self._tracing)
        # If two threads come here first, one wins. There is no lock, because a fork might leave it locked in the child.
        connection = self._connections.setdefault(os.getpid(), made)
        if connection is not made:
            made.close()
        if self._closed:  # closed meanwhile, by a thread that found nothing to close
            self.close()
            raise ClientClosed
        return connection

    def _bulk(self, asked: Kind, deadline: Callable[[], float], own: Pairs) -> ThreadBulk:
        def method() -> Any:
            return self._connection().stub.Predict

        return ThreadBulk(method, self._error, asked, deadline, own, self._endpoint.retries, self._on_retry)

    def _named(self, part: Predictions, deadline: float, own: Pairs) -> Predictions:
        """The answers of one RPC with their labels."""
        self._learn(int(part.model_versions[0]), deadline, own)
        return self._labels.all_named(part)

    def _learn(self, version: int, deadline: float, own: Pairs) -> None:
        """Asks for the labels of a version unless they are known."""
        if self._labels.unknown(version, now := time.monotonic()):
            get = self._connection().stub.GetModel
            self._labels.learn(self._call(get, GetModelRequest(), _shared.left(deadline), own), version, now)

    def _renew(self, deadline: float) -> None:
        """Uses a new connection once it is ready. gRPC alone would look up a missing name only every 2 minutes."""
        process, fresh = os.getpid(), ThreadConnection(self._endpoint, self._coalescing, self._tracing)
        try:
            if not self._not_ready(fresh, deadline):
                # The old connection keeps its calls, and is closed with the client.
                self._replaced.setdefault(process, []).append(self._connection())
                self._connections[process] = fresh
        finally:
            if self._connections.get(process) is not fresh:
                fresh.close()

    def _not_ready(self, connection: ThreadConnection, deadline: float) -> DigitsError | None:
        """Why the server does not answer predictions over this connection; None: it answers them."""
        request = health.request(_shared.SERVICE)
        try:
            serves = health.is_serving(self._call(connection.check, request, _shared.left(deadline), ()))
            return None if serves else Unavailable(_shared.NOT_SERVING)
        except (Unavailable, DeadlineExceeded) as error:
            return error

    def _call(self, method: Callable[..., Reply], request: object, timeout: float, own: Pairs) -> Reply:
        try:
            return method(request, timeout=timeout, metadata=own)
        except DigitsError:
            raise
        except (grpc.RpcError, ValueError) as error:  # ValueError: the channel was closed meanwhile
            raise self._error(error) from error
