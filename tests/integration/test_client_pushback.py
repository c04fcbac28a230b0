"""What a server says about trying again (gRFC A6): the client does as told, or tells its caller."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest
from support.clients import Connect, connecting

from digits_client import ResourceExhausted, Unavailable

IMAGE = np.zeros((28, 28), np.uint8)


class Pushing:
    """Refuses every call with a status, and `grpc-retry-pushback-ms` in the trailing metadata."""

    def __init__(self, status: grpc.StatusCode, milliseconds: str) -> None:
        self.calls = 0
        self._status = status
        self._metadata = (("grpc-retry-pushback-ms", milliseconds),)

    def predict(self, _request: bytes, context: grpc.ServicerContext) -> bytes:
        self.calls += 1
        context.set_trailing_metadata(self._metadata)
        context.abort(self._status, "refused")


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    with connecting(request.param) as connect:
        yield connect


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


def test_an_overloaded_server_is_not_called_again_and_its_delay_reaches_the_caller(
    connect: Connect, serve: Any
) -> None:
    pushing = Pushing(grpc.StatusCode.RESOURCE_EXHAUSTED, "250")
    with pytest.raises(ResourceExhausted, match="refused") as caught:
        connect(serve(pushing)).predict(IMAGE)
    assert pushing.calls == 1
    assert caught.value.retry_after_seconds == 0.25


@pytest.mark.parametrize("said", ["-1", "soon", ""])
def test_a_delay_that_is_none_is_none(connect: Connect, serve: Any, said: str) -> None:
    pushing = Pushing(grpc.StatusCode.RESOURCE_EXHAUSTED, said)
    with pytest.raises(ResourceExhausted) as caught:
        connect(serve(pushing)).predict(IMAGE)
    assert caught.value.retry_after_seconds is None
