"""The ports of a server. They are held before anything listens, so that a taken port is an error at once."""

import errno
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from digits_server.errors import AddressUnavailable

FIRST_FREE_PORT = 1024
"""Lower ports need a capability on Linux (ip(7))."""

FREE_PORT_TRIES = 16
"""Free ports that are tried when one must be free on several addresses."""

ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""Errors that say that this machine does not have the address."""

Address = tuple[socket.AddressFamily, tuple[Any, ...]]
"""As getaddrinfo(3) returns it: the family, then the arguments of bind(2): host, port, and for IPv6 two more."""


def hold_port(host: str, port: int, purpose: str, *, shared: bool = False) -> socket.socket:
    """A socket bound to host:port, or to a free port if the port is 0.

    It does not listen: the servers for which it is held bind to the same port and listen. Raises AddressUnavailable if
    another process listens there, unless both use `shared`.
    """
    try:
        return _bound(_addresses(host), port, shared=shared)[0]
    except (OSError, UnicodeError) as error:
        raise unavailable(host, port, purpose, error) from error


def listen(host: str, port: int, purpose: str, *, shared: bool, backlog: int) -> list[socket.socket]:
    """Sockets that listen on every address of `host`, all on one port; 0 takes a free port.

    `::` accepts callers over IPv4 and IPv6, as it does in gRPC. Raises AddressUnavailable.
    """
    try:
        listening = _bound_together(_addresses(host), port, shared=shared)
        for each in listening:
            each.listen(backlog)
    except (OSError, UnicodeError) as error:
        raise unavailable(host, port, purpose, error) from error
    return listening


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
        # A sandbox may not have such names. Then this lock cannot stop two servers that start at the same moment.
    return claim


def unavailable(host: str, port: int, purpose: str, error: Exception) -> AddressUnavailable:
    """The error that says why listening is impossible; `purpose` names what the port is for."""
    return AddressUnavailable(f"cannot listen for {purpose} on {host}:{port}: {_reason(host, port, error)}")


def why_unavailable(host: str, port: int, purpose: str) -> AddressUnavailable:
    """The same for a library that does not say why it could not listen: tries the address again to find out."""
    try:
        hold_port(host, port, purpose).close()
    except AddressUnavailable as error:
        return error
    why = "the transport does not accept this address, or another process took the port a moment ago"
    return AddressUnavailable(f"cannot listen for {purpose} on {host}:{port}: {why}")


def _reason(host: str, port: int, error: Exception) -> str:
    number = getattr(error, "errno", None) or 0
    if number < 0 or isinstance(error, UnicodeError):  # from getaddrinfo(3): the system's own numbers are positive
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


def _addresses(host: str) -> list[Address]:
    """The addresses of `host`, without a port, each once. Raises OSError or UnicodeError."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _bound_together(addresses: Sequence[Address], port: int, *, shared: bool) -> list[socket.socket]:
    """As `_bound`. A free port of the first address may be taken on another address; then it tries another port."""
    tries = FREE_PORT_TRIES if port == 0 and len(addresses) > 1 else 1
    for _ in range(tries - 1):
        with suppress(OSError):
            return _bound(addresses, port, shared=shared)
    return _bound(addresses, port, shared=shared)


def _bound(addresses: Sequence[Address], port: int, *, shared: bool) -> list[socket.socket]:
    """A socket for each address, all bound to one port. Raises OSError.

    A name may have addresses that this machine lacks, such as an IPv6 address. They are left out if another address
    works.
    """
    bound: list[socket.socket] = []
    absent: OSError | None = None
    try:
        for family, (host, _, *scope) in addresses:
            try:
                bound.append(_bind(family, (host, port, *scope), shared=shared))
            except OSError as error:
                if error.errno not in ABSENT:
                    raise
                absent = error
            else:
                port = bound[0].getsockname()[1]
        if not bound and absent:
            raise absent
    except OSError:
        for each in bound:
            each.close()
        raise
    return bound


def _bind(family: socket.AddressFamily, address: tuple[Any, ...], *, shared: bool) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
        if family == socket.AF_INET6:
            with suppress(OSError):  # a system that cannot do this accepts IPv6 only
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made
