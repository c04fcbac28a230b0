"""The kinds of keys in certificates, and which of them callers accept.

gRPC's own TLS library knows fewer kinds than OpenSSL. A certificate with another kind works in `openssl s_client`, but
not in gRPC clients.
"""

import ssl
from collections.abc import Iterator

KINDS = {
    "06092a864886f70d010101": "RSA",
    "06092a864886f70d01010a": "RSA-PSS",
    "06072a8648ce3d020106052b81040021": "P-224",
    "06072a8648ce3d020106082a8648ce3d030107": "P-256",
    "06072a8648ce3d020106052b81040022": "P-384",
    "06072a8648ce3d020106052b81040023": "P-521",
    "06072a8648ce3d020106052b8104000a": "secp256k1",
    "06072a8648ce3d0201": "another elliptic curve",
    "06032b6570": "Ed25519",
    "06032b6571": "Ed448",
    "06072a8648ce380401": "DSA",
}
"""The first bytes of a key's algorithm in a certificate (DER; RFC 3279, 4055, 5480, 8410); the longest match counts."""

OF_SERVERS = frozenset({"RSA", "P-256", "P-384"})
"""Kinds of a server's own key that gRPC clients accept."""

OF_AUTHORITIES = OF_SERVERS | {"P-224", "P-521", "Ed25519"}
"""Kinds of an authority's key whose signatures gRPC accepts."""

_SEQUENCE, _EXPLICIT_VERSION = 0x30, 0xA0
"""Tags of DER."""


def kinds_in(pem: bytes) -> list[str]:
    """The kind of each certificate's key in a PEM file, in their order.

    Raises ValueError if a certificate cannot be read.
    """
    return [_kind(ssl.PEM_cert_to_DER_cert(block)) for block in _blocks(pem.decode("ascii", "ignore"))]


def _blocks(pem: str) -> Iterator[str]:
    end = ssl.PEM_FOOTER
    for block in pem.split(end)[:-1]:
        start = block.rfind(ssl.PEM_HEADER)
        if start < 0:
            raise ValueError("a certificate without a beginning")
        yield block[start:] + end


def _kind(certificate: bytes) -> str:
    """From Certificate → TBSCertificate → SubjectPublicKeyInfo → AlgorithmIdentifier (RFC 5280)."""
    to_be_signed = _inner(certificate, 0)
    at = _inner(certificate, to_be_signed)
    if certificate[at : at + 1] == bytes([_EXPLICIT_VERSION]):
        at = _after(certificate, at)
    for _ in ("serial number", "signature", "issuer", "validity", "subject"):
        at = _after(certificate, at)
    algorithm = _inner(certificate, at)
    start, end = _inner(certificate, algorithm), _after(certificate, algorithm)
    found = certificate[start:end].hex()
    beginnings = [beginning for beginning in KINDS if found.startswith(beginning)]
    return KINDS[max(beginnings, key=len)] if beginnings else "an unknown kind"


def _inner(data: bytes, at: int) -> int:
    """Where the content of the sequence at `at` begins."""
    if data[at : at + 1] != bytes([_SEQUENCE]):
        raise ValueError("expected a sequence in DER")
    return _span(data, at)[0]


def _after(data: bytes, at: int) -> int:
    """Where the element after the one at `at` begins."""
    return _span(data, at)[1]


def _span(data: bytes, at: int) -> tuple[int, int]:
    """Where the content of the element at `at` begins and ends."""
    if at + 2 > len(data):
        raise ValueError("the certificate ends early")
    length, start = data[at + 1], at + 2
    if length >= 0x80:
        digits = length & 0x7F
        length, start = int.from_bytes(data[start : start + digits]), start + digits
    if start + length > len(data):
        raise ValueError("the certificate ends early")
    return start, start + length
