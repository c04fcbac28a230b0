"""The settings for how calls share RPCs."""

from dataclasses import dataclass

from digits_client import _limits


@dataclass(frozen=True, kw_only=True, slots=True)
class Coalescing:
    """How `predict` calls that happen at the same time share RPCs.

    images_per_rpc  most images that are sent together
    rpcs_in_flight  most shared RPCs in flight at once
    max_waiting     images that wait for an RPC to return; one more is refused with QueueFull. None: no bound, a call
                    waits for as long as its timeout lets it
    """

    images_per_rpc: int = _limits.COALESCED_IMAGES
    rpcs_in_flight: int = _limits.COALESCED_RPCS
    max_waiting: int | None = _limits.WAITING_IMAGES

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: expected at least 1, got {value}")


DEFAULT = Coalescing()
