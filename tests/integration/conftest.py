"""Fixtures that many integration tests share."""

from collections.abc import Iterator

import pytest
from support.clients import Connect, connecting


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Makes clients, once synchronous and once asynchronous ones; closes them at the end."""
    with connecting(request.param) as connect:
        yield connect
