"""Counts of how calls share RPCs."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Stats:
    """The shared RPCs of a client: so far in this process, and at this moment.

    rpcs_sent          shared RPCs sent so far; those with one image count, too
    images_sent        images in them
    largest_rpc        the most images that one of them had
    rpcs_answered      how many of them were answered
    rpcs_failed        how many failed, or were cancelled because every caller had given up
    calls_refused      calls refused with QueueFull
    rpcs_in_flight     shared RPCs in flight now
    images_in_flight   images in them
    images_waiting     images that wait to be sent
    usual_rpc_seconds  how long recent RPCs took: a running average
    """

    rpcs_sent: int = 0
    images_sent: int = 0
    largest_rpc: int = 0
    rpcs_answered: int = 0
    rpcs_failed: int = 0
    calls_refused: int = 0
    rpcs_in_flight: int = 0
    images_in_flight: int = 0
    images_waiting: int = 0
    usual_rpc_seconds: float = 0.0

    @property
    def images_per_rpc(self) -> float:
        """The mean so far; 0 before the first RPC."""
        return self.images_sent / self.rpcs_sent if self.rpcs_sent else 0.0
