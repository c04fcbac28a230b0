"""The server's side of TLS: certificates from PEM files, which are tested, and read again when they change."""

import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn

from digits_server.errors import OperatorError
from digits_server.security import key_kinds
from digits_server.security.reloading import Contents, FileContent, Reloading
from digits_server.settings import Settings
from digits_server.system.memory_file import in_memory

HANDSHAKE_SECONDS = 10
"""Time for the handshake of a new connection."""

ROUND_TRIPS = 2
"""Messages of a handshake in TLS 1.3."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The server's certificate, and the authorities of its callers.

    certificate  PEM of the server's certificate and of those between it and its authority
    key          PEM of its private key
    client_ca    PEM of the authorities, one of which must have signed a caller's certificate; None: no mutual TLS
    expires      when the certificate expires, Unix time in seconds
    """

    certificate: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None
    expires: float


def identity(settings: Settings) -> Reloading[Identity] | None:
    """The identity in the settings; None without TLS. Raises OperatorError if it cannot be used."""
    certificate, key, client_ca = settings.tls_certificate, settings.tls_key, settings.tls_client_ca
    if certificate is None or key is None:
        if certificate or key or client_ca or settings.http_tls:
            raise OperatorError("TLS needs both --tls-certificate and --tls-key")
        return None
    return Reloading("the TLS certificate", [certificate, key, *([client_ca] if client_ca else [])], _parse)


def _parse(contents: Contents) -> Identity:
    """The identity from the contents of the files: the certificate, the key, and perhaps the callers' authorities."""
    own, secret, *callers = contents
    certificate, key = own.read("--tls-certificate"), secret.read("--tls-key")
    server = _context(own, secret)
    _check_kinds(own)
    expires = _expiry(server, own)
    return Identity(certificate, key, _authorities(callers[0]) if callers else None, expires)


def http_context(own: Reloading[Identity]) -> ssl.SSLContext:
    """The context of the HTTP server: always the current certificate, without mutual TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _show(context, own.value.certificate, own.value.key)
    own.tell(lambda new: _show(context, new.certificate, new.key))
    return context


def _show(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Uses this certificate in a server: the bytes that were tested, because the files may have changed since."""
    with in_memory(certificate) as certificate_file, in_memory(key) as key_file:
        # Without a password, OpenSSL would ask for one on the terminal.
        context.load_cert_chain(certificate_file, key_file, password=_encrypted)


def _context(own: FileContent, secret: FileContent) -> ssl.SSLContext:
    """A server of this certificate and its key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        _show(context, own.read("--tls-certificate"), secret.read("--tls-key"))
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise OperatorError(f"--tls-key: {secret.path} is not the key of {own.path}") from error
        why = _why(error, "expected PEM files")
        raise OperatorError(f"--tls-certificate, --tls-key: cannot use {own.path} and {secret.path}: {why}") from error
    return context


def _check_kinds(own: FileContent) -> None:
    """Raises OperatorError if gRPC clients do not accept this kind of key."""
    kind, *between = _kinds("--tls-certificate", own)
    if kind not in key_kinds.OF_SERVERS:
        raise OperatorError(
            f"--tls-certificate: gRPC clients accept no key of the kind in {own.path}: expected RSA, or ECDSA with "
            f"P-256 or P-384, found {kind}"
        )
    _check_authorities("--tls-certificate", own, between)


def _check_authorities(flag: str, file: FileContent, kinds: list[str]) -> None:
    for kind in kinds:
        if kind not in key_kinds.OF_AUTHORITIES:
            raise OperatorError(
                f"{flag}: gRPC accepts no signature by an authority of the kind in {file.path}: expected RSA, P-224, "
                f"P-256, P-384, P-521 or Ed25519, found {kind}"
            )


def _kinds(flag: str, file: FileContent) -> list[str]:
    try:
        found = key_kinds.kinds_in(file.read(flag))
    except ValueError as error:
        raise OperatorError(f"{flag}: cannot use {file.path}: {error}") from error
    if not found:
        raise OperatorError(f"{flag}: expected PEM certificates in {file.path}")
    return found


def _encrypted() -> NoReturn:
    raise OperatorError("--tls-key: expected a key without a passphrase")


def _authorities(callers: FileContent) -> bytes:
    content = callers.read("--tls-client-ca")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=content.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError) as error:
        raise OperatorError(f"--tls-client-ca: expected PEM certificates in {callers.path}") from error
    _check_authorities("--tls-client-ca", callers, _kinds("--tls-client-ca", callers))
    return content


def _expiry(server: ssl.SSLContext, own: FileContent) -> float:
    """When the certificate expires. Raises OperatorError if no caller would accept it.

    It is tested in a handshake with a caller that trusts this very certificate.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        with in_memory(own.read("--tls-certificate")) as trusted:
            client.load_verify_locations(trusted)
        caller = client.wrap_bio(to_client, to_server)
        ends = (caller, server.wrap_bio(to_server, to_client, server_side=True))
        for _ in range(ROUND_TRIPS):
            for end in ends:
                _go_on(end)
    except ssl.SSLCertVerificationError as error:
        raise OperatorError(f"--tls-certificate: cannot use {own.path}: {error.verify_message}") from error
    except ssl.SSLError as error:
        raise OperatorError(
            f"--tls-certificate: no caller can use {own.path}: {_why(error, 'no handshake')}"
        ) from error
    shown: Any = caller.getpeercert()
    return ssl.cert_time_to_seconds(shown["notAfter"])


def _why(error: ssl.SSLError, otherwise: str) -> str:
    """OpenSSL's reason in words."""
    return error.reason.replace("_", " ").lower() if error.reason else otherwise


def _go_on(end: ssl.SSLObject) -> None:
    """Continues a handshake as far as possible."""
    with suppress(ssl.SSLWantReadError):
        end.do_handshake()
