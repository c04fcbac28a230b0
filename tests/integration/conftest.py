"""Fixtures that many integration tests share."""

from collections.abc import Iterator

import pytest
from support.client.both import Connect, connecting
from support.client.scripted import ScriptedServer
from support.programs.collector import Collector

from digits_client import _limits

PATIENCE_SECONDS = 60.0


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Makes clients, once synchronous and once asynchronous ones; closes them at the end."""
    with connecting(request.param) as connect:
        yield connect


@pytest.fixture
def script() -> Iterator[ScriptedServer]:
    """A server that answers as a test says, and keeps the requests that it got."""
    with ScriptedServer() as script:
        yield script


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """A collector that receives the spans of servers with its address."""
    with Collector() as running:
        yield running


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls of a client wait for the RPC ahead, however slow the machine is; else they leave without it before long."""
    monkeypatch.setattr(_limits, "LEAST_PATIENCE_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(_limits, "MOST_PATIENCE_SECONDS", PATIENCE_SECONDS)
