"""How RPCs arrive. A transport carries bytes between callers and `digits_server.rpcs`, and knows no model."""

from typing import Protocol


class Counts(Protocol):
    """Is told what a transport does by itself, of which the RPCs hear nothing."""

    def refused(self, reason: str, calls: int) -> None:
        """So many more calls never came here, for a reason of the transport."""
        ...

    def closed_for_load(self, connections: int) -> None:
        """So many more connections were closed, because the calls of all cannot be answered."""
        ...


class Transport(Protocol):
    """A listening server."""

    port: int
    """The port it listens on, once started."""

    async def start(self) -> None:
        """Listens. Raises AddressUnavailable when the address cannot be had."""
        ...

    async def stop(self, grace: float) -> None:
        """Refuses new calls and returns when those in flight have ended, after `grace` seconds at the latest."""
        ...
