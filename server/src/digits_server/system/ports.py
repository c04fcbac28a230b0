"""The ports a server listens on, held before anything listens, so that a taken one is an error at once."""

import socket

from digits_server.errors import AddressUnavailable


def hold_port(host: str, port: int, purpose: str, *, shared: bool = False) -> socket.socket:
    """A socket bound to host:port, or to a free port when that is 0.

    It does not listen: whoever it is held for binds to the same port and listens there. Raises AddressUnavailable when
    somebody else listens there already, unless both say `shared`.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        held = socket.socket(family, kind, protocol)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
        held.bind(address)
    except OSError as error:
        raise taken(host, port, purpose) from error
    return held


def claim_port(held: socket.socket) -> socket.socket:
    """A lock on the address of `held` against others that claim it; it goes with its socket or its process.

    Two servers that start in the same moment, neither listening yet, would both be given the port, and then share its
    calls. A name in Linux's abstract namespace is given once, and that namespace is as wide as that of ports. Raises
    AddressUnavailable.
    """
    address, port = held.getsockname()[:2]
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0digits-server {address} {port}")
    except OSError as error:
        claim.close()
        raise taken(address, port, "calls") from error
    return claim


def taken(host: str, port: int, purpose: str) -> AddressUnavailable:
    """The error that says so; `purpose` is what would have arrived there."""
    return AddressUnavailable(f"cannot listen for {purpose} on {host}:{port}: is the port taken?")
