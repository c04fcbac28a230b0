"""Calls to this machine with a proxy in the environment: the proxy must not see them, nor the token in them."""

import socket
from collections.abc import Iterator

import numpy as np
import pytest
from support.client.both import Connect
from support.client.scripted import ScriptedServer

from digits_client import DigitsError

IMAGE = np.zeros((28, 28), np.uint8)
DEADLINE_SECONDS = 30.0


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A listening socket that the environment names as the proxy of every host."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for name in ("no_grpc_proxy", "no_proxy", "grpc_proxy", "https_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{listener.getsockname()[1]}")
        yield listener


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "localhost:{}", "LocalHost:{}", "dns:///localhost:{}"])
def test_a_call_to_this_machine_never_goes_through_a_proxy(connect: Connect, proxy: socket.socket, form: str) -> None:
    with ScriptedServer() as script:
        client = connect(form.format(script.port), token="secret")  # noqa: S106  # of nobody
        assert client.predict(IMAGE, timeout=DEADLINE_SECONDS).digit == 0
    proxy.setblocking(False)
    with pytest.raises(BlockingIOError):
        proxy.accept()


def test_a_call_to_another_host_goes_through_the_proxy(connect: Connect, proxy: socket.socket) -> None:
    client = connect("digits.invalid:50051")
    with pytest.raises(DigitsError):
        client.predict(IMAGE, timeout=1)
    proxy.settimeout(DEADLINE_SECONDS)
    connection, _ = proxy.accept()
    with connection:
        connection.settimeout(DEADLINE_SECONDS)
        assert connection.recv(1000).startswith(b"CONNECT digits.invalid:50051 ")
