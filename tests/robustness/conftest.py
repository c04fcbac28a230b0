"""Shared by the tests of robustness: how long they run, and where their figures go."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.calls.witness import GrpcWitness
from support.records import README, Record
from support.servers.process import ServerProcess

PAUSE_SECONDS = 0.02
"""Between two calls of a good caller in a short run: it is there all the time, and leaves the processor to the rest."""


@pytest.fixture(scope="session")
def full(pytestconfig: pytest.Config) -> bool:
    """Whether the tests run in full length (`--full`), or for a few seconds each, as in `make test`."""
    return bool(pytestconfig.getoption("full"))


@pytest.fixture
def record(request: pytest.FixtureRequest, transport: str, full: bool) -> Record:
    """Records the figures of a promise; figures are kept of full runs only."""
    return Record(Path(request.path).name, transport, README if full else None)


@pytest.fixture
def a_good_caller_is_served(server: ServerProcess, full: bool) -> Iterator[None]:
    """Fails unless a caller who behaves is answered before, during and after the test."""
    with GrpcWitness(server.target, pause=0.0 if full else PAUSE_SECONDS) as witness:
        witness.wait_for_more(10)
        yield
        witness.wait_for_more(10)
    assert witness.failures == []
