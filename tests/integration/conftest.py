"""Fixtures that many integration tests share."""

from collections.abc import Iterator

import pytest
from support.client.both import Connect, connecting
from support.client.scripted import ScriptedServer
from support.programs.collector import Collector


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
