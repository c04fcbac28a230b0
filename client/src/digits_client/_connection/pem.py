"""Certificates and keys from callers → PEM for gRPC.

They are checked here, because gRPC would not report invalid ones.
"""

import os
import re
import ssl
from binascii import Error as Base64Error
from pathlib import Path
from typing import TypeAlias

from digits_client._errors import Misused, shown

Pem: TypeAlias = bytes | str | os.PathLike[str]
"""The bytes of a PEM file, or the path of one. A string that has a PEM block is its content."""

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\s.*?-----END \1-----", re.DOTALL)
_BEGINNING = "-----BEGIN "


def pem_of(name: str, value: Pem | None) -> bytes | None:
    """The bytes of a PEM, read from its path if necessary.

    Misused, naming `name`, unless they have the expected kind.
    """
    if value is None:
        return None
    pem, origin = _read(name, value)
    blocks = [(match[1].decode(), match[0]) for match in _BLOCK.finditer(pem)]
    if not blocks:
        raise Misused(f"{origin}: expected PEM (-----BEGIN …), got {len(pem):,} bytes without such a block")
    if name == "private_key":
        _check_key(origin, [kind for kind, _ in blocks])
    else:
        _check_certificates(origin, blocks)
    return pem


def _read(name: str, value: Pem) -> tuple[bytes, str]:
    if isinstance(value, bytes):
        return value, name
    if isinstance(value, str) and _BEGINNING in value:
        return value.encode("utf-8", "replace"), name
    if not isinstance(value, str | os.PathLike):
        raise Misused(f"{name}: expected the bytes of a PEM file, or its path; got {type(value).__name__}")
    origin = f"{name} ({shown(os.fspath(value))})"
    try:
        return Path(value).read_bytes(), origin
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Misused(f"{origin}: cannot read the file: {reason}") from error


def _check_certificates(origin: str, blocks: list[tuple[str, bytes]]) -> None:
    certificates = [block for kind, block in blocks if kind.endswith("CERTIFICATE")]
    if not certificates:
        raise Misused(f"{origin}: expected a certificate (-----BEGIN CERTIFICATE-----), got {blocks[0][0].lower()}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        for block in certificates:
            context.load_verify_locations(cadata=ssl.PEM_cert_to_DER_cert(block.decode("ascii")))
    except (ssl.SSLError, Base64Error, ValueError) as error:
        number = certificates.index(block) + 1
        raise Misused(f"{origin}: certificate {number} of {len(certificates)} is damaged") from error


def _check_key(origin: str, kinds: list[str]) -> None:
    keys = [kind for kind in kinds if kind.endswith("PRIVATE KEY")]
    if not keys:
        raise Misused(f"{origin}: expected a private key (-----BEGIN PRIVATE KEY-----), got {kinds[0].lower()}")
    if "ENCRYPTED PRIVATE KEY" in keys:
        raise Misused(
            f"{origin}: the key has a passphrase: gRPC takes keys without one (openssl pkey -in key -out plain)"
        )
