"""The ports of a server. They are held before anything listens, so that a taken port is an error at once."""

import errno
import os
import socket

from digits_server.errors import AddressUnavailable

FIRST_FREE_PORT = 1024
"""Lower ports need a capability on Linux (ip(7))."""


def hold_port(host: str, port: int, purpose: str, *, shared: bool = False) -> socket.socket:
    """A socket bound to host:port, or to a free port if the port is 0.

    It does not listen: the servers for which it is held bind to the same port and listen. Raises AddressUnavailable if
    another process listens there, unless both use `shared`.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        held = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise unavailable(host, port, purpose, error) from error
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
        held.bind(address)
    except OSError as error:
        held.close()
        raise unavailable(host, port, purpose, error) from error
    return held


def claim_port(held: socket.socket) -> socket.socket:
    """A lock on the address of `held`, which ends with its socket or its process. Raises AddressUnavailable.

    Without it, two servers that start at the same moment would both get the port, and then share its calls. Linux gives
    a name in its abstract namespace only once, and that namespace has the same scope as ports.
    """
    address, port = held.getsockname()[:2]
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0digits-server {address} {port}")
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            claim.close()
            raise unavailable(address, port, "calls", error) from error
        # A sandbox may not have such names. Then two servers that start at the same moment are not told apart.
    return claim


def unavailable(host: str, port: int, purpose: str, error: Exception) -> AddressUnavailable:
    """The error that says why listening is impossible; `purpose` says what would have arrived."""
    return AddressUnavailable(f"cannot listen for {purpose} on {host}:{port}: {_reason(host, port, error)}")


def why_unavailable(host: str, port: int, purpose: str) -> AddressUnavailable:
    """The same for a library that does not say why it could not listen: tries the address again to find out."""
    try:
        hold_port(host, port, purpose).close()
    except AddressUnavailable as error:
        return error
    return AddressUnavailable(f"cannot listen for {purpose} on {host}:{port}: is the port taken?")


def _reason(host: str, port: int, error: Exception) -> str:
    number = getattr(error, "errno", None) or 0
    if number < 0 or isinstance(error, UnicodeError):  # of getaddrinfo(3): the numbers of the system are positive
        return f"the name {host} does not resolve to an address"
    match number:
        case errno.EADDRINUSE:
            return "is the port taken?"
        case errno.EACCES | errno.EPERM if 0 < port < FIRST_FREE_PORT:
            return f"ports below {FIRST_FREE_PORT} need the capability CAP_NET_BIND_SERVICE; choose a higher one"
        case errno.EADDRNOTAVAIL:
            return "this machine has no such address"
        case errno.EAFNOSUPPORT:
            return "this machine has no IPv6"
    return os.strerror(number)
