"""Free ports, for programs that cannot choose a free one themselves."""

import socket


def free_port() -> int:
    """A TCP port of this machine that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
