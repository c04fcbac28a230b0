"""Waiting for something to become true, with a deadline."""

import asyncio
import time
from collections.abc import Callable

POLL_SECONDS = 0.01


def until(holds: Callable[[], bool], what: str, seconds: float = 30.0, *, pause: float = POLL_SECONDS) -> None:
    """Returns once `holds()`; fails, naming `what`, after `seconds`. Waits for `pause` seconds between two looks."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(pause)


async def until_cancelled(place: int, cancelled: list[int]) -> None:
    """Waits until its task is cancelled, and then puts `place` into `cancelled`."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        cancelled.append(place)
        raise
