"""Settings of RPCs: when they are retried, and how large they are."""

from dataclasses import dataclass, replace
from typing import Any

from digits_client import _limits
from digits_client._errors import InvalidInput


def check(settings: Any, bounds: dict[str, tuple[float, float]]) -> None:
    """InvalidInput unless each field lies within its bounds, and is a whole number where its default is one."""
    for name, (least, most) in bounds.items():
        value = getattr(settings, name)
        whole = isinstance(type(settings).__dataclass_fields__[name].default, int)
        if (
            isinstance(value, bool)
            or not isinstance(value, int if whole else int | float)
            or not least <= value <= most
        ):
            what = "a whole number" if whole else "a number"
            raise InvalidInput(f"{name}: expected {what} from {least:,} to {most:,}; got {value}")


@dataclass(frozen=True, kw_only=True)
class Retries:
    """When an RPC that found its server UNAVAILABLE is tried again. Retries happen within the timeout of their call.

    attempts               tries of one RPC, the first one included: 5, from 1 (none is repeated) to 5 (gRPC's most)
    first_backoff_seconds  the pause before the second try: 0.01, from 0.001 to 60. Each pause is twice the one before,
                           with jitter, unless the server asks for another one
    most_backoff_seconds   the longest pause: 1, from 0.001 to 60
    budget                 failed tries a client may have in a short time: 100, from 1 to 1,000; at half of them and
                           below nothing is tried again
    budget_per_success     what an answered RPC gives back to the budget: 0.1, from 0.001 to 1

    An RPC of a batch that an overloaded server refused is sent again after the server's own delay, unless `attempts`
    is 1.
    """

    attempts: int = _limits.ATTEMPTS
    first_backoff_seconds: float = _limits.FIRST_BACKOFF_SECONDS
    most_backoff_seconds: float = _limits.MOST_BACKOFF_SECONDS
    budget: int = _limits.RETRY_TOKENS
    budget_per_success: float = _limits.RETRY_TOKENS_PER_SUCCESS

    def __post_init__(self) -> None:
        check(
            self,
            {
                "attempts": (1, 5),
                "first_backoff_seconds": (0.001, 60),
                "most_backoff_seconds": (0.001, 60),
                "budget": (1, 1000),
                "budget_per_success": (0.001, 1),
            },
        )


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large RPCs are, and how many of one batch are in flight.

    images_per_rpc       arrays of one RPC of a batch: 1,024, from 1 to 65,536. A server takes 5,349 by default
    files_per_rpc        image files of one RPC: 16, from 1 to 4,096. A server takes 64 by default
    bytes_per_rpc        bytes of image files in one RPC: 3 MiB, from 1 byte to 64 MiB, unless one file alone has more
    rpcs_in_flight       RPCs of one batch or iterator at once: 4, from 1 to 64
    file_rpcs_in_flight  the same for RPCs of image files: 2, from 1 to 64
    reply_bytes          bytes of the largest reply accepted: 64 MiB, from 1,024 to 2,147,483,647
    """

    images_per_rpc: int = _limits.IMAGES_PER_RPC
    files_per_rpc: int = _limits.FILES_PER_RPC
    bytes_per_rpc: int = _limits.BYTES_PER_RPC
    rpcs_in_flight: int = _limits.RPCS_IN_FLIGHT
    file_rpcs_in_flight: int = _limits.FILE_RPCS_IN_FLIGHT
    reply_bytes: int = _limits.REPLY_BYTES

    def __post_init__(self) -> None:
        check(
            self,
            {
                "images_per_rpc": (1, 65_536),
                "files_per_rpc": (1, 4_096),
                "bytes_per_rpc": (1, _limits.RETRY_BUFFER_BYTES),
                "rpcs_in_flight": (1, 64),
                "file_rpcs_in_flight": (1, 64),
                "reply_bytes": (1_024, 2**31 - 1),
            },
        )

    def at_most(self, batch_size: int | None) -> "Sizes":
        """The same with RPCs of at most `batch_size` images; None changes nothing.

        InvalidInput for an invalid number.
        """
        if batch_size is None:
            return self
        most = self.images_per_rpc
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or not 1 <= batch_size <= most:
            raise InvalidInput(f"batch_size: expected 1 to {most:,} images; got {batch_size}")
        return replace(self, images_per_rpc=batch_size, files_per_rpc=min(batch_size, self.files_per_rpc))


DEFAULT_RETRIES = Retries()
DEFAULT_SIZES = Sizes()
NO_RETRIES = Retries(attempts=1)
