"""The client for one event loop."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
import numpy as np
from numpy.typing import NDArray

from digits.v1.prediction_pb2 import GetModelRequest, GetModelResponse, PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub
from digits_client import _health, _limits, _shared
from digits_client._channel import Endpoint
from digits_client._errors import DeadlineExceeded, Unavailable, from_status
from digits_client._images import Image
from digits_client._results import Prediction, Predictions, concatenated

Reply = TypeVar("Reply")


class AsyncClient:
    """Calls a Digits server from one event loop. An async context manager that closes its connections.

    Every call takes a `timeout` in seconds, retries included (default: that of the client), and raises a DigitsError.
    A call that finds the server UNAVAILABLE is tried again, up to four times in all, within its timeout.
    """

    def __init__(
        self,
        target: str = "localhost:50051",
        *,
        timeout: float = _limits.TIMEOUT_SECONDS,
        tls: bool = False,
        root_certificates: bytes | None = None,
        certificate_chain: bytes | None = None,
        private_key: bytes | None = None,
        server_name: str | None = None,
    ) -> None:
        """Connects at the first call, on the event loop that makes it; the parameters are those of `Client`."""
        self._endpoint = Endpoint(
            target=target,
            tls=tls,
            root_certificates=root_certificates,
            certificate_chain=certificate_chain,
            private_key=private_key,
            server_name=server_name,
        )
        self._timeout = timeout
        self._connected: Connection | None = None

    async def predict(
        self, image: Image, *, probabilities: bool = False, model_version: int = 0, timeout: float | None = None
    ) -> Prediction:
        """The digit in one image; see `Client.predict`."""
        request = _shared.single_request(image, model_version=model_version, probabilities=probabilities)
        return _shared.prediction(await self._call(self._connection().stub.Predict, request, timeout))

    async def predict_batch(
        self,
        images: NDArray[np.uint8] | Iterable[Image],
        *,
        probabilities: bool = False,
        model_version: int = 0,
        timeout: float | None = None,
    ) -> Predictions:
        """The digits in any number of images, in their order; see `Client.predict_batch`."""
        deadline = time.monotonic() + self._seconds(timeout)
        requests = _shared.batch_requests(images, model_version=model_version, probabilities=probabilities)
        in_flight: deque[asyncio.Task[Predictions]] = deque()
        parts: list[Predictions] = []
        try:
            for request in requests:
                in_flight.append(asyncio.create_task(self._part(request, deadline)))
                if len(in_flight) == _limits.RPCS_IN_FLIGHT:
                    parts.append(await in_flight.popleft())
            while in_flight:
                parts.append(await in_flight.popleft())
        finally:
            for task in in_flight:
                task.cancel()
            await asyncio.gather(*in_flight, return_exceptions=True)
        return concatenated(parts, probabilities=probabilities)

    async def model(self, *, timeout: float | None = None) -> GetModelResponse:
        """What is served; see `Client.model`."""
        return await self._call(self._connection().stub.GetModel, GetModelRequest(), timeout)

    async def health(self, *, timeout: float | None = None) -> bool:
        """Whether the server says that it answers predictions now."""
        request = _health.request(_shared.SERVICE)
        return _health.is_serving(await self._call(self._connection().check, request, timeout))

    async def wait_ready(self, timeout: float = _limits.TIMEOUT_SECONDS) -> None:
        """Returns once the server answers predictions. DeadlineExceeded when it does not within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not await self._serves(deadline):
            if time.monotonic() + _limits.POLL_SECONDS >= deadline:
                raise DeadlineExceeded(f"the server was not ready within {timeout:g} seconds")
            await asyncio.sleep(_limits.POLL_SECONDS)

    async def close(self) -> None:
        """Closes the connections; calls in flight are cancelled."""
        if self._connected:
            await self._connected.channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    def _connection(self) -> "Connection":
        if self._connected is None:
            self._connected = Connection(self._endpoint)
        return self._connected

    async def _part(self, request: PredictRequest, deadline: float) -> Predictions:
        reply = await self._call(self._connection().stub.Predict, request, max(0.0, deadline - time.monotonic()))
        return _shared.predictions(reply, _shared.image_count(request))

    async def _serves(self, deadline: float) -> bool:
        try:
            return await self.health(timeout=max(0.0, deadline - time.monotonic()))
        except (Unavailable, DeadlineExceeded):
            return False

    async def _call(self, method: Callable[..., Awaitable[Reply]], request: object, timeout: float | None) -> Reply:
        try:
            return await method(request, timeout=self._seconds(timeout))
        except grpc.aio.AioRpcError as error:
            raise from_status(error.code(), error.details()) from error

    def _seconds(self, timeout: float | None) -> float:
        return self._timeout if timeout is None else timeout


class Connection:
    """A channel of the running event loop, and what is called on it."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.channel = endpoint.async_channel()
        self.stub: Any = PredictionServiceStub(self.channel)
        self.check: Any = self.channel.unary_unary(_health.CHECK)
