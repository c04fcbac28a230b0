"""A server's delay before a retry (gRFC A6): the client keeps it, or passes it on to its caller."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

import grpc
import numpy as np
import pytest
from support.client.both import Connect

from digits.v1.prediction_pb2 import PredictRequest, PredictResponse
from digits_client import Coalescing, DeadlineExceeded, DigitsError, Overloaded, ResourceExhausted, Unavailable
from digits_client._limits import FILES_PER_RPC

FILES = [b"a picture"] * (2 * FILES_PER_RPC)
"""Two RPCs."""
IMAGE = np.zeros((28, 28), np.uint8)


class Pushing:
    """Refuses the first `refusals` calls, by default every one, with `grpc-retry-pushback-ms` in the metadata."""

    def __init__(self, status: grpc.StatusCode, milliseconds: str, refusals: int = sys.maxsize) -> None:
        self.calls = 0
        self.milliseconds = milliseconds
        self.refusals = refusals
        self._status = status
        self._lock = Lock()

    def predict(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        with self._lock:
            self.calls += 1
            refused = self.calls <= self.refusals
        if refused:
            context.set_trailing_metadata((("grpc-retry-pushback-ms", self.milliseconds),))
            context.abort(self._status, "refused")
        count = len(PredictRequest.FromString(request).image_files)
        return PredictResponse(digits=[0] * count, confidences=[1] * count, model_version=1).SerializeToString()


@pytest.fixture
def serve() -> Iterator[Any]:
    server = grpc.server(ThreadPoolExecutor(4))

    def serve(pushing: Pushing) -> str:
        handler: Any = grpc.unary_unary_rpc_method_handler(pushing.predict)
        service = grpc.method_handlers_generic_handler("digits.v1.PredictionService", {"Predict": handler})
        server.add_generic_rpc_handlers([service])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        return f"127.0.0.1:{port}"

    yield serve
    server.stop(None).wait(30)


def test_a_server_that_forbids_trying_again_is_obeyed(connect: Connect, serve: Any) -> None:
    pushing = Pushing(grpc.StatusCode.UNAVAILABLE, "-1")
    with pytest.raises(Unavailable):
        connect(serve(pushing)).predict(IMAGE)
    assert pushing.calls == 1


def test_a_server_that_asks_for_a_delay_beyond_the_timeout_is_not_called_again(connect: Connect, serve: Any) -> None:
    pushing = Pushing(grpc.StatusCode.UNAVAILABLE, "600000")
    with pytest.raises((Unavailable, TimeoutError)):
        connect(serve(pushing)).predict(IMAGE, timeout=1)
    assert pushing.calls == 1


def test_a_single_call_to_an_overloaded_server_is_not_repeated_and_the_delay_reaches_the_caller(
    connect: Connect, serve: Any
) -> None:
    pushing = Pushing(grpc.StatusCode.RESOURCE_EXHAUSTED, "250")
    with pytest.raises(Overloaded, match="refused") as caught:
        connect(serve(pushing)).predict(IMAGE)
    assert pushing.calls == 1
    assert caught.value.retry_after_seconds == 0.25


@pytest.mark.parametrize("said", ["-1", "soon", ""])
def test_an_invalid_delay_is_none(connect: Connect, serve: Any, said: str) -> None:
    pushing = Pushing(grpc.StatusCode.RESOURCE_EXHAUSTED, said)
    with pytest.raises(ResourceExhausted) as caught:
        connect(serve(pushing)).predict(IMAGE)
    assert caught.value.retry_after_seconds is None
    assert not isinstance(caught.value, Overloaded)


def test_a_batch_is_sent_again_after_the_delay_of_an_overloaded_server(connect: Connect, serve: Any) -> None:
    pushing = Pushing(grpc.StatusCode.RESOURCE_EXHAUSTED, "60", refusals=3)
    client = connect(serve(pushing))
    assert list(client.predict_batch(FILES).digits) == [0] * len(FILES)
    assert pushing.calls == 2 + 3
    pushing.refusals = pushing.calls + 3
    assert sum(1 for _ in client.predict_iter(FILES)) == len(FILES)


def test_a_batch_ends_as_overloaded_when_the_delay_passes_its_deadline(connect: Connect, serve: Any) -> None:
    pushing = Pushing(grpc.StatusCode.RESOURCE_EXHAUSTED, "600000")
    client = connect(serve(pushing))
    with pytest.raises(Overloaded, match="refused") as caught:
        client.predict_batch([IMAGE], timeout=5)
    assert pushing.calls == 1
    assert caught.value.failed == range(1)
    pushing.milliseconds = "100"
    with pytest.raises((Overloaded, DeadlineExceeded)):
        client.predict_batch([IMAGE], timeout=0.5)


def test_a_batch_that_is_too_large_is_not_sent_again(connect: Connect, serve: Any) -> None:
    pushing = Pushing(grpc.StatusCode.RESOURCE_EXHAUSTED, "-1")
    with pytest.raises(ResourceExhausted):
        connect(serve(pushing)).predict_batch([IMAGE])
    assert pushing.calls == 1


@pytest.mark.parametrize("coalescing", [Coalescing(), None])
@pytest.mark.parametrize("status", [grpc.StatusCode.INTERNAL, grpc.StatusCode.RESOURCE_EXHAUSTED])
def test_an_error_of_a_server_has_the_error_of_grpc_as_its_cause(
    connect: Connect, serve: Any, coalescing: Coalescing | None, status: grpc.StatusCode
) -> None:
    client = connect(serve(Pushing(status, "-1")), coalescing=coalescing)
    calls: list[Callable[[], object]] = [
        lambda: client.predict(IMAGE),
        lambda: client.predict_batch([IMAGE]),
        client.health,
        client.model,
    ]
    with ThreadPoolExecutor(8) as threads:  # so that some share an RPC
        together = [threads.submit(client.predict, IMAGE) for _ in range(32)]
    for call in [*calls, *(future.result for future in together)]:
        with pytest.raises(DigitsError) as caught:
            call()
        assert isinstance(caught.value.__cause__, grpc.RpcError)
