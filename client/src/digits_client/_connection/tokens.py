"""Bearer tokens: which strings are tokens, and where they may be sent."""

import re
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Any, TypeAlias

from digits_client._errors import InvalidInput

Token: TypeAlias = str | Callable[[], str] | Callable[[], Awaitable[str]]
"""The token, or a function that returns the current one and is called for each RPC; for an AsyncClient also an async
one."""

_TOKEN = re.compile(r"[\x21-\x7e]+")
_HOST = re.compile(r"\[(.*)\](:\d+)?|([^:]*)(:\d+)?")
"""[IPv6]:port, or host:port."""


def checked(token: Any) -> str:
    """The token as it is sent: without the white space around it that files often have. Raises InvalidInput."""
    if not isinstance(token, str):
        raise InvalidInput(f"token: expected a string; got {type(token).__name__}")
    stripped = token.strip()
    if not _TOKEN.fullmatch(stripped):
        raise InvalidInput("token: expected visible ASCII characters, and at least one")
    return stripped


def stays_here(target: str) -> bool:
    """Whether data for `target` never leaves this machine."""
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
