"""A bearer token along with every RPC."""

import re
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from digits_client._errors import InvalidInput, Unauthenticated

Token = str | Callable[[], str]
"""The token, or what gives the current one, asked for each RPC."""

_TOKEN = re.compile(r"[\x21-\x7e]+")
_HOST = re.compile(r"\[(.*)\](:\d+)?|([^:]*)(:\d+)?")
"""[IPv6]:port, or host:port."""


def bearing(channel: Any, token: Token | None) -> Any:
    """`channel`, whose unary calls carry `token`."""
    return channel if token is None else _Channel(channel, token)


def checked(token: str) -> str:
    """The token as it is sent: without the white space around it, which files have. Raises InvalidInput."""
    stripped = token.strip()
    if not _TOKEN.fullmatch(stripped):
        raise InvalidInput("token: expected visible ASCII characters, and at least one")
    return stripped


def stays_here(target: str) -> bool:
    """Whether what is sent to `target` never leaves this machine."""
    scheme, colon, rest = target.partition(":")
    if colon and scheme in ("unix", "unix-abstract"):
        return True
    if colon and scheme in ("dns", "ipv4", "ipv6"):
        target = rest.rpartition("/")[2]
    return all(map(_is_loopback, target.split(",")))


def _is_loopback(address: str) -> bool:
    match = _HOST.fullmatch(address)
    host = (match[1] or match[3]) if match else address
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class _Channel:
    """What a stub needs of a channel."""

    def __init__(self, channel: Any, token: Token) -> None:
        self._channel = channel
        self._token = token

    def unary_unary(self, *arguments: Any, **options: Any) -> "_Method":
        return _Method(self._channel.unary_unary(*arguments, **options), self._token)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)


class _Method:
    """A unary method, of a channel for threads or for tasks."""

    def __init__(self, method: Any, token: Token) -> None:
        self._method = method
        self._token = token

    def __call__(self, request: Any, *, timeout: float) -> Any:
        return self._method(request, timeout=timeout, metadata=self._metadata())

    def future(self, request: Any, *, timeout: float) -> Any:
        return self._method.future(request, timeout=timeout, metadata=self._metadata())

    def _metadata(self) -> tuple[tuple[str, str]]:
        token = self._token
        if not isinstance(token, str):
            try:
                token = checked(token())
            except Exception as error:
                raise Unauthenticated(f"the token cannot be had: {error}") from error
        return (("authorization", f"Bearer {token}"),)
