"""The ports a server listens on, held before anything listens, so that a taken one is an error at once."""

import errno
import os
import socket

from digits_server.errors import AddressUnavailable

FIRST_FREE_PORT = 1024
"""Below it, Linux asks for a capability (ip(7))."""


def hold_port(host: str, port: int, purpose: str, *, shared: bool = False) -> socket.socket:
    """A socket bound to host:port, or to a free port when that is 0.

    It does not listen: those it is held for bind to the same port and listen there. Raises AddressUnavailable when
    somebody else listens there already, unless both say `shared`.
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
        if error.errno == errno.EADDRINUSE:
            claim.close()
            raise unavailable(address, port, "calls", error) from error
        # A sandbox without such names: two servers that start in the same moment are not told apart then.
    return claim


def unavailable(host: str, port: int, purpose: str, error: Exception) -> AddressUnavailable:
    """The error that says why nobody can listen there; `purpose` is what would have arrived."""
    return AddressUnavailable(f"cannot listen for {purpose} on {host}:{port}: {_reason(host, port, error)}")


def why_unavailable(host: str, port: int, purpose: str) -> AddressUnavailable:
    """The same for a library that does not say why it could not listen: the address is tried once more to learn it."""
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
