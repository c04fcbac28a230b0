"""Bodies of HTTP requests at their limits: a server that has stopped, bodies without end, and no room for them all."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from starlette.requests import Request

from digits_server.errors import RequestTooLarge, Unavailable
from digits_server.web.bodies import POLITE, Bodies

SECONDS = 30.0


class Sent:
    """A request whose body comes in `pieces`."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.left = list(pieces)
        self.request = Request({"type": "http", "headers": []}, self._receive)

    async def _receive(self) -> dict[str, Any]:
        return {"type": "http.request", "body": self.left.pop(0), "more_body": bool(self.left)}


def late() -> float:
    return asyncio.get_running_loop().time() + SECONDS


async def test_a_body_that_begins_after_the_end_of_the_server_is_rejected_unread() -> None:
    bodies = Bodies(10, 100)
    bodies.close()
    sent = Sent([b"x"])
    with pytest.raises(Unavailable, match="the server has stopped"):
        await bodies.read(sent.request, late())
    assert sent.left == [b"x"]


async def test_a_body_without_end_is_read_politely_and_then_no_further() -> None:
    sent = Sent([b"x" * 10] * 100)
    bodies = Bodies(10, 100)
    with pytest.raises(RequestTooLarge):
        await bodies.read(sent.request, late())
    assert len(sent.left) == 100 - POLITE - 1
    assert bodies._held == 0


async def test_a_body_alone_may_have_more_than_all_together() -> None:
    bodies = Bodies(100, 10)
    assert await asyncio.wait_for(bodies.read(Sent([b"x" * 20, b"y" * 20]).request, late()), SECONDS) == (
        b"x" * 20 + b"y" * 20
    )
    assert bodies._held == 0
