"""The three arrangements of a server that are compared, and the server behind Envoy."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pytest

from digits_server.settings import setting_of
from support.servers.front_proxy import front_proxy, ports_of
from support.servers.process import ServerProcess

BEHIND_ENVOY = " behind Envoy"
ARRANGEMENTS = ("grpcio", "native", "native" + BEHIND_ENVOY)


def transport_of(arrangement: str) -> str:
    """The server's own transport."""
    return arrangement.removesuffix(BEHIND_ENVOY)


OFFERED = [each for each in ARRANGEMENTS if transport_of(each) in setting_of("transport").metadata["kind"].choices]
"""The arrangements whose transport is installed."""

OVER_EACH_ARRANGEMENT = pytest.mark.parametrize("transport", OFFERED, indirect=True, scope="module")
"""Marks a module whose promises depend on the transport or on the proxy in front."""


def server_process(arrangement: str, *flags: str | Path) -> ServerProcess:
    """A server of this arrangement; `target` is where callers connect, from `wait_ready` on."""
    kind = ServerBehindEnvoy if arrangement.endswith(BEHIND_ENVOY) else ServerProcess
    return kind(*flags)


class ServerBehindEnvoy(ServerProcess):
    """A server with the shipped Envoy in front; callers reach only Envoy's ports."""

    def __init__(self, *flags: str | Path) -> None:
        super().__init__(*flags)
        self._closing = ExitStack()

    def wait_ready(self) -> Self:
        super().wait_ready()
        folder = Path(self._closing.enter_context(tempfile.TemporaryDirectory()))
        proxy = self._closing.enter_context(front_proxy(folder, [ports_of(self)]))
        self.target, self.web = proxy.target, proxy.web
        self.pids = {**self.pids, "Envoy": proxy.process.pid}
        return self

    def kill(self) -> None:
        self._closing.close()
        super().kill()
