"""The callers' own metadata, and request ids."""

import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from digits_client import _limits
from digits_client._errors import InvalidInput

Metadata: TypeAlias = Mapping[str, str | bytes] | Iterable[tuple[str, str | bytes]]
"""Names and values. A name that ends with -bin has bytes for its value, any other a string of printable ASCII."""

Pairs: TypeAlias = tuple[tuple[str, str | bytes], ...]
"""Metadata that has been checked, as gRPC takes it."""

REQUEST_ID = "x-request-id"

_RESERVED = {
    *("authorization", "connection", "content-length", "content-type", "host", "keep-alive", "proxy-connection"),
    *("te", "trailer", "transfer-encoding", "upgrade", "user-agent"),
}
_NAME = re.compile(r"[0-9a-z_.-]+")
_VALUE = re.compile(r"[\x20-\x7e]*")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


def pairs(metadata: Metadata | None, request_id: str | None) -> Pairs:
    """The metadata to send, names in lower case. InvalidInput for metadata that gRPC or the server would not accept.

    A request id replaces an x-request-id among the metadata.
    """
    if metadata is None and request_id is None:
        return ()
    checked = tuple(_pair(item) for item in _items(metadata))
    if request_id is not None:
        if not isinstance(request_id, str) or not _REQUEST_ID.fullmatch(request_id):
            raise InvalidInput(
                f"request_id: expected 1 to 64 letters, digits, '.', '_', ':' or '-'; got {request_id!r:.100}"
            )
        checked = merged(checked, ((REQUEST_ID, request_id),))
    if (size := sum(len(name) + len(value) for name, value in checked)) > _limits.METADATA_BYTES:
        raise InvalidInput(f"metadata: expected at most {_limits.METADATA_BYTES:,} bytes; got {size:,}")
    return checked


def merged(general: Pairs, own: Pairs) -> Pairs:
    """Both together. An entry of the call replaces entries of the same name that apply to all calls."""
    if not (general and own):
        return own or general
    names = {name for name, _ in own}
    return (*(pair for pair in general if pair[0] not in names), *own)


def _items(metadata: Metadata | None) -> list[tuple[str, str | bytes]]:
    try:
        return [
            (name, value) for name, value in (metadata.items() if isinstance(metadata, Mapping) else metadata or ())
        ]
    except (TypeError, ValueError) as error:
        raise InvalidInput("metadata: expected a mapping, or pairs of name and value") from error


def _pair(item: tuple[str, str | bytes]) -> tuple[str, str | bytes]:
    name, value = item
    if not isinstance(name, str) or not _NAME.fullmatch(name := name.lower()):
        raise InvalidInput(f"metadata: expected names of letters, digits, '_', '.' and '-'; got {name!r:.100}")
    if name.startswith("grpc-") or name in _RESERVED:
        hint = "use token=" if name == "authorization" else "gRPC sets it, or HTTP/2 forbids it"
        raise InvalidInput(f"metadata: {name} cannot be sent: {hint}")
    if name.endswith("-bin"):
        if not isinstance(value, bytes):
            raise InvalidInput(f"metadata: {name}: expected bytes; got {type(value).__name__}")
    elif not isinstance(value, str) or not _VALUE.fullmatch(value):
        raise InvalidInput(
            f"metadata: {name}: expected a string of printable ASCII; bytes need a name that ends with -bin"
        )
    return name, value
