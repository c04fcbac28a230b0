"""The metrics show when something blocks the event loop."""

import asyncio
import time

from digits_server.system.loop_lag import INTERVAL_SECONDS, LoopLag

HELD = 10 * INTERVAL_SECONDS
DEADLINE = 30.0


async def test_a_loop_that_is_held_is_seen_to_be_late() -> None:
    seen: list[float] = []
    told = asyncio.Event()

    def observe(seconds: float) -> None:
        seen.append(seconds)
        told.set()

    lag = LoopLag(observe)
    lag.start()
    time.sleep(HELD)  # noqa: ASYNC251 - it is what is to be seen
    async with asyncio.timeout(DEADLINE):
        await told.wait()
    lag.stop()
    assert seen[0] >= HELD - 2 * INTERVAL_SECONDS
    told.clear()
    await asyncio.sleep(2 * INTERVAL_SECONDS)
    assert not told.is_set()
