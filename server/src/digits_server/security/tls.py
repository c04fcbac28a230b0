"""What the server shows and asks for in TLS: read from PEM files, proved to work, read again when they change."""

import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from digits_server.errors import OperatorError
from digits_server.security.reloading import Reloading
from digits_server.settings import Settings
from digits_server.system.memory_file import in_memory
from digits_server.system.regular_files import read_regular

HANDSHAKE_SECONDS = 10
"""What a caller has for the handshake of a new connection."""

ROUND_TRIPS = 2
"""Of a handshake in TLS 1.3."""

EDWARDS_CURVES = (bytes.fromhex("300506032b6570"), bytes.fromhex("300506032b6571"))
"""What names Ed25519 and Ed448 in a certificate (RFC 8410, DER): gRPC's TLS takes neither, from anyone."""


CURVE_KEY = bytes.fromhex("06072a8648ce3d0201")
"""What stands before the name of a key's curve in a certificate (RFC 5480, DER)."""

CURVES = tuple(bytes.fromhex(name) for name in ("06082a8648ce3d030107", "06052b81040022", "06052b81040023"))
"""P-256, P-384 and P-521 in DER: callers refuse the many other curves that OpenSSL makes keys of."""

MAX_FILE_BYTES = 1024 * 1024
"""Of each PEM file."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the server is, and whose callers it takes.

    certificate       PEM of the server's certificate and those between it and its authority
    key               PEM of its private key
    client_ca         PEM of the authorities one of which must have signed a caller's certificate; None asks for none
    expires           when the certificate ends to be valid, Unix time in seconds
    """

    certificate: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None
    expires: float


def identity(settings: Settings) -> Reloading[Identity] | None:
    """What the settings name; None without TLS. Raises OperatorError when it cannot be used."""
    certificate, key, client_ca = settings.tls_certificate, settings.tls_key, settings.tls_client_ca
    if certificate is None or key is None:
        if certificate or key or client_ca or settings.http_tls:
            raise OperatorError("TLS needs both --tls-certificate and --tls-key")
        return None
    files = [certificate, key, *([client_ca] if client_ca else [])]
    return Reloading("the TLS certificate", files, lambda: _read(certificate, key, client_ca))


def _read(certificate: Path, key: Path, client_ca: Path | None) -> Identity:
    own, secret = _content(certificate), _content(key)
    expires = _expiry(_context(own, secret, certificate, key), own, certificate)
    authorities = _authorities(client_ca) if client_ca else None
    return Identity(own, secret, authorities, expires)


def http_context(own: Reloading[Identity]) -> ssl.SSLContext:
    """What a server of HTTP shows: always the current certificate, and it asks for none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _show(context, own.value.certificate, own.value.key)
    own.tell(lambda new: _show(context, new.certificate, new.key))
    return context


def _show(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Has a server show this certificate: the very bytes that were proved, as the files may be others by now."""
    with in_memory(certificate) as certificate_file, in_memory(key) as key_file:
        # Without a password OpenSSL would ask the terminal for one.
        context.load_cert_chain(certificate_file, key_file, password=_encrypted)


def _content(path: Path) -> bytes:
    try:
        return read_regular(path, MAX_FILE_BYTES)
    except OSError as error:
        raise OperatorError(f"TLS: cannot read {path}: {error.strerror}") from error


def _context(own: bytes, secret: bytes, certificate: Path, key: Path) -> ssl.SSLContext:
    """A server of this certificate and its key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        _show(context, own, secret)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise OperatorError(f"--tls-key: {key} is not the key of {certificate}") from error
        why = error.reason.replace("_", " ").lower() if error.reason else "expected PEM files"
        raise OperatorError(f"--tls-certificate, --tls-key: cannot use {certificate} and {key}: {why}") from error
    return context


def _encrypted() -> NoReturn:
    raise OperatorError("--tls-key: expected a key without a passphrase")


def _authorities(client_ca: Path) -> bytes:
    content = _content(client_ca)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=content.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise OperatorError(f"--tls-client-ca: expected PEM certificates in {client_ca}") from error
    return content


def _expiry(server: ssl.SSLContext, own: bytes, certificate: Path) -> float:
    """When the certificate expires. Raises OperatorError when no caller would take it, whatever its authority.

    Found in a handshake with a caller who trusts this certificate itself.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    with in_memory(own) as trusted:
        client.load_verify_locations(trusted)
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    caller = client.wrap_bio(to_client, to_server)
    ends = (caller, server.wrap_bio(to_server, to_client, server_side=True))
    try:
        for _ in range(ROUND_TRIPS):
            for end in ends:
                _go_on(end)
    except ssl.SSLCertVerificationError as error:
        raise OperatorError(f"--tls-certificate: cannot use {certificate}: {error.verify_message}") from error
    except ssl.SSLError as error:  # no handshake is possible with such a key
        raise OperatorError(_wrong_kind(certificate)) from error
    shown: Any = caller.getpeercert()
    if not _is_taken(caller.getpeercert(binary_form=True) or b""):
        raise OperatorError(_wrong_kind(certificate))
    return ssl.cert_time_to_seconds(shown["notAfter"])


def _is_taken(certificate: bytes) -> bool:
    """Whether callers take the kind of key of a certificate in DER."""
    if any(curve in certificate for curve in EDWARDS_CURVES):
        return False
    _, found, curve = certificate.partition(CURVE_KEY)
    return not found or curve.startswith(CURVES)


def _wrong_kind(certificate: Path) -> str:
    return (
        f"--tls-certificate: callers refuse keys of the kind in {certificate}: expected RSA or ECDSA keys "
        "(P-256, P-384 or P-521)"
    )


def _go_on(end: ssl.SSLObject) -> None:
    """Takes a handshake as far as it goes."""
    with suppress(ssl.SSLWantReadError):
        end.do_handshake()
