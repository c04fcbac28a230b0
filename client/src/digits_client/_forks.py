"""What a fork leaves of gRPC.

gRPC's own threads do not exist in a forked child, where a call would wait for ever, past its deadline. So a child of a
process that has called gets an error instead, unless the environment variable GRPC_ENABLE_FORK_SUPPORT made gRPC
prepare for forks. A client that has made no call yet may be forked freely.
"""

import os

from digits_client._errors import Misused

SUPPORTED = os.environ.get("GRPC_ENABLE_FORK_SUPPORT", "0").lower() in {"1", "true", "yes", "y", "t"}
"""gRPC reads the variable the same way, once, when it is imported."""


class _Process:
    """Whether this process has used gRPC, or was forked from one that had."""

    used = False
    lost = False

    def forked(self) -> None:
        self.lost = self.lost or self.used


_process = _Process()
if hasattr(os, "register_at_fork"):  # not on Windows, which has no forks
    os.register_at_fork(after_in_child=_process.forked)


def connecting(*, on_event_loop: bool) -> None:
    """Called before a channel is made. Misused where it would hang; gRPC's event loops support no forks at all."""
    if _process.lost and (on_event_loop or not SUPPORTED):
        raise Misused(
            "this process was forked from one that had already called a server, and gRPC's threads do not survive "
            "that: make the first call after the fork, or start processes with the spawn method"
        )
    _process.used = True
