"""The client for threads."""

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import count
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
from numpy.typing import NDArray

from digits.v1.prediction_pb2 import GetModelRequest, GetModelResponse
from digits_client import _coalescing, _health, _limits, _shared
from digits_client._channel import Endpoint, Pem
from digits_client._chunks import Chunk, chunks, located
from digits_client._coalescing import Coalescing
from digits_client._connections import ThreadConnection, tracer
from digits_client._errors import ClientClosed, DeadlineExceeded, DigitsError, ServerError, Unavailable, from_rpc
from digits_client._images import Image, encode
from digits_client._results import Prediction, Predictions, concatenated
from digits_client._tokens import Token

Reply = TypeVar("Reply")


class Client:
    """Calls a Digits server. Safe to share between threads; a context manager that closes its connections.

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
        """Connects at the first call.

        target              host:port, all addresses of which are used in turn, or any name gRPC resolves
        timeout             seconds a call may take unless it says otherwise; None: no limit
        coalescing          how calls of `predict` share RPCs; None: each has its own
        tls                 use TLS; implied by any certificate
        root_certificates   PEM of the authorities to trust, instead of the platform's own: its bytes, or a path
        certificate_chain   PEM of this client's certificate, for servers that ask for one: its bytes, or a path
        private_key         PEM of its key: its bytes, or a path
        server_name         the name the server's certificate must bear, if not the target's
        token               sent with every RPC as a bearer token: itself, or a function that gives the current one
        token_in_plaintext  let the token go to another machine without TLS, which is Misused otherwise
        tracing             leave OpenTelemetry spans of the RPCs; Misused without the extra digits-client[tracing]
        """
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
        self._connections: dict[int, ThreadConnection] = {}  # by process: a forked child makes its own
        self._replaced: dict[int, list[ThreadConnection]] = {}

    def predict(
        self,
        image: Image,
        *,
        probabilities: bool = False,
        model_version: int = 0,
        convert: bool = False,
        timeout: float | None = None,
    ) -> Prediction:
        """The digit in one image.

        image          uint8[28, 28] with 0 background to 255 ink, or a picture file (PNG, JPEG, WebP, GIF): its bytes,
                       its path, a Pillow image
        probabilities  whether to return all ten
        model_version  the version that must answer; 0 for the current one
        convert        take an array of floats from 0 to 1 too, and round it to 0 to 255
        """
        seconds = self._seconds(timeout)
        asked = _shared.kind(model_version, probabilities=probabilities)
        encoded = encode(image, convert=convert)
        connection = self._connection()
        if connection.coalescer and not encoded.is_file:
            return connection.coalescer.predict(encoded.data, asked, seconds)
        request = _shared.request([encoded.data], asked, are_files=encoded.is_file)
        return _shared.answers(self._call(connection.stub.Predict, request, seconds), 1, asked)[0]

    def predict_batch(
        self,
        images: NDArray[Any] | Iterable[Image],
        *,
        probabilities: bool = False,
        model_version: int = 0,
        convert: bool = False,
        timeout: float | None = None,
    ) -> Predictions:
        """The digits in any number of images, in their order.

        images   uint8[N, 28, 28], or any iterable of what `predict` takes. Sent as several RPCs, a few at a time
        timeout  seconds for all of them together; without it, each RPC may take the client's own timeout

        An RPC that an overloaded server refused is sent again after the delay the server gave, within its time.
        When an RPC finally fails, nothing more is sent. The error's `failed` are the places of that RPC's images, its
        `answered` the predictions of the images before, as far as they had come.
        """
        asked = _shared.kind(model_version, probabilities=probabilities)
        deadline = _shared.deadline_of_each_rpc(timeout, self._timeout)
        parts: list[Predictions] = []
        try:
            for part in self._parts(chunks(images, asked, convert=convert), deadline, asked):
                parts.append(part)  # noqa: PERF402  # what has come must outlive an error
        except DigitsError as error:
            raise _shared.explained(error, parts, asked)  # noqa: B904  # it is the same error
        return concatenated(parts, probabilities=asked.probabilities)

    def predict_iter(
        self,
        images: NDArray[Any] | Iterable[Image],
        *,
        probabilities: bool = False,
        model_version: int = 0,
        convert: bool = False,
        timeout: float | None = None,
        batch_size: int | None = None,
    ) -> Generator[Prediction, None, None]:
        """The same as a generator, for more images than fit in memory: a few thousand are held at a time.

        images      uint8[N, 28, 28], which may be memory-mapped, or any iterable of what `predict` takes, also an
                    endless one. An RPC is sent when its images are complete
        timeout     seconds for each RPC
        batch_size  images of each RPC, 1 to 1,024 (at most 16 files); fewer give earlier answers from a slow source.
                    Answers that have come are given before the source is asked for the next image
        """
        deadline = _shared.deadline_of_each_rpc(None, self._seconds(timeout))
        asked = _shared.kind(model_version, probabilities=probabilities)
        line = chunks(images, asked, convert=convert, size=_shared.size(batch_size))
        for part in self._parts(line, deadline, asked):
            yield from part

    def model(self, *, timeout: float | None = None) -> GetModelResponse:
        """What is served: the manifest, the runtime, and the state of every version (see prediction.proto)."""
        return self._call(self._connection().stub.GetModel, GetModelRequest(), self._seconds(timeout))

    def health(self, *, timeout: float | None = None) -> bool:
        """Whether the server says that it answers predictions now."""
        request = _health.request(_shared.SERVICE)
        return _health.is_serving(self._call(self._connection().check, request, self._seconds(timeout)))

    def wait_ready(self, timeout: float | None = _limits.TIMEOUT_SECONDS) -> None:
        """Returns once the server answers predictions. DeadlineExceeded when it does not within `timeout` seconds."""
        deadline = time.monotonic() + (limit := _shared.seconds(timeout))
        while reason := self._not_ready(self._connection(), deadline):
            if time.monotonic() + _limits.POLL_SECONDS >= deadline:
                raise DeadlineExceeded(f"the server was not ready within {limit:g} seconds") from reason
            if _shared.is_unresolved(reason):
                self._renew(deadline)
            time.sleep(_limits.POLL_SECONDS)

    def close(self) -> None:
        """Closes the connections. What waits or is on the way fails with ClientClosed."""
        self._closed = True
        for connection in (self._connections.pop(os.getpid(), None), *self._replaced.pop(os.getpid(), [])):
            if connection:
                connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _connection(self) -> ThreadConnection:
        if self._closed:
            raise ClientClosed
        return self._connections.get(os.getpid()) or self._connect()

    def _connect(self) -> ThreadConnection:
        made = ThreadConnection(self._endpoint, self._coalescing, self._tracing)
        # Of two threads that come here first, one wins. No lock, for a fork might leave it locked in the child.
        connection = self._connections.setdefault(os.getpid(), made)
        if connection is not made:
            made.close()
        if self._closed:  # meanwhile, by a thread that found nothing to close
            self.close()
            raise ClientClosed
        return connection

    def _parts(
        self, line: Iterator[Chunk], deadline: Callable[[], float], asked: _coalescing.Kind
    ) -> Iterator[Predictions]:
        """The answers of the chunks in their order, some RPCs ahead of the reader."""
        in_flight: deque[tuple[Chunk, Any, float]] = deque()
        try:
            for chunk in line:
                end = deadline()
                in_flight.append((chunk, self._sent(chunk, end), end))
                while in_flight and (len(in_flight) >= chunk.rpcs_in_flight or in_flight[0][1].done()):
                    yield self._part(*in_flight.popleft(), asked)
            while in_flight:
                yield self._part(*in_flight.popleft(), asked)
        finally:
            for _, call, _ in in_flight:
                call.cancel()

    def _sent(self, chunk: Chunk, deadline: float) -> Any:
        predict = self._connection().stub.Predict
        try:
            return predict.future(chunk.request, timeout=_shared.left(deadline))
        except ValueError as error:  # what gRPC raises on a channel that was closed meanwhile
            raise self._error(error) from error

    def _part(self, chunk: Chunk, call: Any, deadline: float, asked: _coalescing.Kind) -> Predictions:
        for refusals in count():
            try:
                return _shared.predictions(call.result(), chunk.count, asked)
            except (grpc.RpcError, grpc.FutureCancelledError) as error:
                failure = self._error(error)
                delay = _shared.retry_delay(failure, refusals, deadline)
                if delay is None:
                    raise located(failure, chunk) from error
            except DigitsError as error:
                raise located(error, chunk)  # noqa: B904  # it is the same error
            time.sleep(delay)
            call = self._sent(chunk, deadline)
        raise AssertionError  # not reached: the loop has no end

    def _renew(self, deadline: float) -> None:
        """Takes a new connection once it is ready: gRPC asks for a missing name ever more seldom, up to 2 minutes."""
        process, fresh = os.getpid(), ThreadConnection(self._endpoint, self._coalescing, self._tracing)
        try:
            if not self._not_ready(fresh, deadline):
                # The other one keeps its calls, and is closed with the client.
                self._replaced.setdefault(process, []).append(self._connection())
                self._connections[process] = fresh
        finally:
            if self._connections.get(process) is not fresh:
                fresh.close()

    def _not_ready(self, connection: ThreadConnection, deadline: float) -> DigitsError | None:
        """Why the server answers no predictions over this connection; None: it does."""
        request = _health.request(_shared.SERVICE)
        try:
            serves = _health.is_serving(self._call(connection.check, request, _shared.left(deadline)))
            return None if serves else Unavailable(_shared.NOT_SERVING)
        except (Unavailable, DeadlineExceeded) as error:
            return error

    def _call(self, method: Callable[..., Reply], request: object, timeout: float) -> Reply:
        try:
            return method(request, timeout=timeout)
        except (grpc.RpcError, ValueError) as error:  # ValueError: the channel was closed meanwhile
            raise self._error(error) from error

    def _error(self, error: Exception) -> DigitsError:
        if self._closed:
            return ClientClosed()
        return from_rpc(error) if isinstance(error, grpc.RpcError) else ServerError(f"INTERNAL: {error}")

    def _seconds(self, timeout: float | None) -> float:
        return self._timeout if timeout is None else _shared.seconds(timeout)
