"""Watches the load, and closes connections when too many calls are in vain."""

import asyncio
from collections.abc import Callable, Hashable
from time import process_time

from digits_server.transports.envoy import connections
from digits_server.transports.envoy.admin import Admin
from digits_server.transports.envoy.connections import Door
from digits_server.transports.envoy.shedding import TICK_SECONDS, Load, Shedding, Useful, greediest

BUSY_SHARE = 0.2
"""Of a core's time, below which there is no need to look: nothing is in vain there for want of time."""

Shed = Callable[[int], None]
"""Is told of how many connections were closed."""


async def relieve(admin: Admin, door: Door, port: int, useful: Useful, shed: Shed) -> None:
    """Looks at the load at every tick, until cancelled; `useful` is told of the calls that `port` answered."""
    shedding, used, before = Shedding(), process_time(), None
    received: dict[Hashable, int] = {}
    try:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            used, idle_from = process_time(), used + BUSY_SHARE * TICK_SECONDS
            now = await admin.arrived() if used > idle_from else None
            load = Load()
            if now and before:
                calls, refused, made = (new - old for new, old in zip(now, before, strict=True))
                load = Load(calls, refused, useful.arrived, useful.calls, made)
            before = now
            useful.arrived = useful.calls = 0
            staying = shedding.tick(load)
            door.set_open(may_enter=not shedding.turning_away)
            if staying < 1:
                lately = {peer: size - received.get(peer, 0) for peer, size in connections.received(port).items()}
                culprits = greediest(staying, lately, useful.bytes)
                shed(connections.close(culprits, port))
            if staying < 1 or shedding.behind == 1:
                received = connections.received(port)
            if staying < 1 or shedding.behind <= 1:
                useful.bytes.clear()
    finally:
        door.set_open(may_enter=True)
