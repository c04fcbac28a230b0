"""The client for threads."""

import time
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
import numpy as np
from numpy.typing import NDArray

from digits.v1.prediction_pb2 import GetModelRequest, GetModelResponse, PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub
from digits_client import _health, _limits, _shared
from digits_client._channel import Endpoint
from digits_client._errors import DeadlineExceeded, DigitsError, Unavailable, from_status
from digits_client._images import Image
from digits_client._results import Prediction, Predictions, concatenated

Reply = TypeVar("Reply")


class Client:
    """Calls a Digits server. Safe to share between threads; a context manager that closes its connections.

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
        """Connects at the first call.

        target             host:port, all addresses of which are used in turn, or any name gRPC resolves
        timeout            seconds a call may take unless it says otherwise
        tls                use TLS; implied by any certificate
        root_certificates  PEM of the authorities to trust, instead of the platform's own
        certificate_chain  PEM of this client's certificate, for servers that ask for one
        private_key        PEM of its key
        server_name        the name the server's certificate must bear, if not the target's
        """
        endpoint = Endpoint(
            target=target,
            tls=tls,
            root_certificates=root_certificates,
            certificate_chain=certificate_chain,
            private_key=private_key,
            server_name=server_name,
        )
        self._timeout = timeout
        self._channel = endpoint.channel()
        self._stub = PredictionServiceStub(self._channel)
        self._check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(_health.CHECK)

    def predict(
        self, image: Image, *, probabilities: bool = False, model_version: int = 0, timeout: float | None = None
    ) -> Prediction:
        """The digit in one image.

        image          uint8[28, 28] with 0 background to 255 ink, or a PNG or JPEG: its bytes, its path, a Pillow image
        probabilities  whether to return all ten
        model_version  the version that must answer; 0 for the current one
        """
        request = _shared.single_request(image, model_version=model_version, probabilities=probabilities)
        return _shared.prediction(self._call(self._stub.Predict, request, timeout))

    def predict_batch(
        self,
        images: NDArray[np.uint8] | Iterable[Image],
        *,
        probabilities: bool = False,
        model_version: int = 0,
        timeout: float | None = None,
    ) -> Predictions:
        """The digits in any number of images, in their order.

        images  uint8[N, 28, 28], or a list of what `predict` takes. It is sent as several RPCs, a few at a time.
        """
        deadline = time.monotonic() + self._seconds(timeout)
        requests = _shared.batch_requests(images, model_version=model_version, probabilities=probabilities)
        in_flight: deque[tuple[PredictRequest, Any]] = deque()
        parts: list[Predictions] = []
        try:
            for request in requests:
                in_flight.append((request, self._stub.Predict.future(request, timeout=_left(deadline))))
                if len(in_flight) == _limits.RPCS_IN_FLIGHT:
                    parts.append(_result(*in_flight.popleft()))
            parts += [_result(*in_flight.popleft()) for _ in range(len(in_flight))]
        finally:
            for _, call in in_flight:
                call.cancel()
        return concatenated(parts, probabilities=probabilities)

    def model(self, *, timeout: float | None = None) -> GetModelResponse:
        """What is served: the manifest, the runtime, and the state of every version (see prediction.proto)."""
        return self._call(self._stub.GetModel, GetModelRequest(), timeout)

    def health(self, *, timeout: float | None = None) -> bool:
        """Whether the server says that it answers predictions now."""
        return _health.is_serving(self._call(self._check, _health.request(_shared.SERVICE), timeout))

    def wait_ready(self, timeout: float = _limits.TIMEOUT_SECONDS) -> None:
        """Returns once the server answers predictions. DeadlineExceeded when it does not within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not self._serves(deadline):
            if time.monotonic() + _limits.POLL_SECONDS >= deadline:
                raise DeadlineExceeded(f"the server was not ready within {timeout:g} seconds")
            time.sleep(_limits.POLL_SECONDS)

    def close(self) -> None:
        """Closes the connections; calls in flight are cancelled."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _serves(self, deadline: float) -> bool:
        try:
            return self.health(timeout=_left(deadline))
        except (Unavailable, DeadlineExceeded):
            return False

    def _call(self, method: Callable[..., Reply], request: object, timeout: float | None) -> Reply:
        try:
            return method(request, timeout=self._seconds(timeout))
        except grpc.RpcError as error:
            raise _translated(error) from error

    def _seconds(self, timeout: float | None) -> float:
        return self._timeout if timeout is None else timeout


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())


def _result(request: PredictRequest, call: Any) -> Predictions:
    try:
        return _shared.predictions(call.result(), _shared.image_count(request))
    except grpc.RpcError as error:
        raise _translated(error) from error


def _translated(error: Any) -> DigitsError:
    """Grpc raises its calls as errors; its types do not say so."""
    return from_status(error.code(), error.details())
