"""The logger `digits_client`: retries and connections. Never a token, metadata or an image."""

import asyncio
import logging
from typing import Any

import grpc

log = logging.getLogger("digits_client")

_READY = grpc.ChannelConnectivity.READY
_FAILED = grpc.ChannelConnectivity.TRANSIENT_FAILURE
_SHUTDOWN = grpc.ChannelConnectivity.SHUTDOWN


def telling() -> bool:
    """Whether the log is on.

    Otherwise connections are not watched: for threads, gRPC needs one more thread for this.
    """
    return log.isEnabledFor(logging.INFO)


class Connectivity:
    """Logs how the connection to a target changes; for all channels of a client together."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._connected = False
        self._lost = False

    def changed(self, state: grpc.ChannelConnectivity) -> None:
        if state is _READY and not self._connected:
            log.info("connected to %s%s", self._target, " again" if self._lost else "")
            self._connected, self._lost = True, False
        elif state is _FAILED and not self._lost:
            log.info("no connection to %s: trying again", self._target)
            self._connected, self._lost = False, True
        elif state is not _READY and self._connected:
            log.info("the connection to %s was closed", self._target)
            self._connected, self._lost = False, True
        else:
            log.debug("the connection to %s is %s", self._target, state.name)


async def watch_on_loop(channel: Any, connectivity: Connectivity) -> None:
    """Until the channel is closed, or the task cancelled."""
    state = channel.get_state()
    while state is not _SHUTDOWN:
        connectivity.changed(state)
        try:
            await channel.wait_for_state_change(state)
            state = channel.get_state()
        except (asyncio.CancelledError, grpc.aio.UsageError):  # the channel is closed
            return
