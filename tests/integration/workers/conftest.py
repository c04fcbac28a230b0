"""A server of several worker processes, for each test its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.servers.process import ServerProcess
from support.servers.workers import starting


@pytest.fixture
def server(repository: Path) -> Iterator[ServerProcess]:
    """A separate server for each test."""
    with starting(repository) as running:
        yield running.wait_ready()
