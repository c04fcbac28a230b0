"""Authentication: bearer tokens (RFC 6750), one per line of a file that is read again when it changes.

Tokens are kept as keyed hashes, and each process has a new key. So the time of a comparison says nothing about a token,
and no token is in memory.
"""

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import ip_address
from pathlib import Path

from digits_server.errors import OperatorError, Unauthenticated
from digits_server.observability.logs import visible
from digits_server.security.access import Access
from digits_server.security.reloading import FileContent, Reloading
from digits_server.service.calls import Call
from digits_server.settings import Settings

TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]{16,512}=*")
"""The characters of RFC 6750, and enough of them that a token cannot be guessed."""

SECRET = re.compile(r"[A-Za-z0-9\-._~+/]{16}")
"""Every token contains a match of this, so a comment with a match may contain an old token."""

MAX_NAME_CHARACTERS = 64
"""Characters of a token's name in the log."""

_KEY = secrets.token_bytes(32)


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of one file: their digests, each with the name of its token."""

    names: Mapping[bytes, str]

    def __contains__(self, token: str) -> bool:
        return _digest(token) in self.names

    def name(self, authorization: str | None) -> str | None:
        """The name of the token in a call's `authorization`; None if it is not one of these."""
        return self.names.get(_digest(_bearer(authorization) or ""))


class Guard:
    """Checks the tokens of callers.

    callers     tokens for RPCs and HTTP; None: no token is needed
    scrapers    tokens for scrapers' routes, instead of those of callers
    open_paths  HTTP paths that need no token; a * at the end matches any rest
    """

    def __init__(
        self,
        callers: Reloading[Tokens] | None,
        scrapers: Reloading[Tokens] | None,
        *,
        open_paths: Iterable[str],
    ) -> None:
        self._callers = callers
        self._scrapers = scrapers
        paths = list(open_paths)
        self._open = frozenset(paths)
        self._open_prefixes = tuple(path[:-1] for path in paths if path.endswith("*"))

    def admit(self, call: Call) -> None:
        """Accepts an RPC, or raises Unauthenticated."""
        if self._callers:
            self._check(self._callers.value, call.metadata("authorization"))

    def admit_to(self, access: Access, path: str, authorization: str | None) -> None:
        """Accepts an HTTP request for `path`, whose route has the rule `access`, or raises Unauthenticated."""
        if access is Access.SCRAPERS and self._scrapers:
            self._check(self._scrapers.value, authorization)
        elif self._callers and path not in self._open and not path.startswith(self._open_prefixes):
            self._check(self._callers.value, authorization)

    def knows(self, authorization: str | None) -> bool:
        """Whether an RPC with this `authorization` is accepted. Counts nothing; may be called in any thread."""
        return self._callers is None or _is_known(self._callers.value, authorization)

    def _check(self, known: Tokens, authorization: str | None) -> None:
        if not _is_known(known, authorization):
            raise Unauthenticated("authorization: expected a bearer token that this server accepts")


def token_file(flag: str, path: Path | None) -> Reloading[Tokens] | None:
    """The tokens of a file that a flag names. Raises OperatorError if the file cannot be used."""
    if path is None:
        return None
    return Reloading(flag, [path], lambda contents: Tokens(_names(flag, contents[0])))


def _is_known(known: Tokens, authorization: str | None) -> bool:
    token = _bearer(authorization)
    return token is not None and token in known


def _bearer(authorization: str | None) -> str | None:
    """The token in an `authorization`, if it is of that kind."""
    scheme, _, token = (authorization or "").partition(" ")
    return token if scheme.lower() == "bearer" else None


def ports_in_plaintext(settings: Settings) -> list[str]:
    """The ports to which tokens travel over a network in plaintext: "gRPC", "HTTP"."""
    if not (settings.tokens or settings.metrics_tokens) or is_loopback(settings.host):
        return []
    grpc = ["gRPC"] if settings.tokens and not settings.tls_certificate else []
    return grpc if settings.http_tls else [*grpc, "HTTP"]


def open_to_network(settings: Settings) -> bool:
    """Whether anybody on a network may call the server, without encryption."""
    return not (is_loopback(settings.host) or settings.tls_certificate or settings.tokens)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _names(flag: str, content: FileContent) -> dict[bytes, str]:
    """The digests of the tokens in a file, and their names. Messages name the line, but never repeat it.

    The comment right above a token names it. Other tokens are named by their line. So are tokens below a comment with a
    word as long as a token, because that word may be an old token.
    """
    path, name = content.path, ""
    names: dict[bytes, str] = {}
    for number, line in enumerate(content.read(flag).decode("ascii", "replace").splitlines(), 1):
        token = line.strip()
        if not token or token.startswith("#"):
            comment = visible(token.lstrip("# "))[:MAX_NAME_CHARACTERS]
            name = "" if any(map(SECRET.search, comment.split())) else comment
            continue
        if not TOKEN.fullmatch(token):
            raise OperatorError(
                f"{flag}: line {number} of {path} is not a token: expected 16 to 512 letters, digits or -._~+/"
            )
        names[_digest(token)] = name or f"line {number}"
        name = ""
    if not names:
        raise OperatorError(f"{flag}: there is no token in {path}")
    return names


def _digest(token: str) -> bytes:
    return blake2b(token.encode(errors="replace"), key=_KEY).digest()
