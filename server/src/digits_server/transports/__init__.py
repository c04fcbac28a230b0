"""How RPCs arrive. A transport carries bytes between callers and `digits_server.rpcs.table`, and knows no model."""

from typing import Protocol


class Transport(Protocol):
    """A listening server."""

    port: int
    """The port, once it is open."""

    async def open(self) -> None:
        """Opens the port; connections wait for `start`. Raises AddressUnavailable if the address cannot be used."""
        ...

    async def start(self) -> None:
        """Answers calls from now on, first those of the connections that wait."""
        ...

    async def stop(self, grace: float) -> None:
        """Rejects new calls, and returns when those in flight have ended, after `grace` seconds at the latest."""
        ...
