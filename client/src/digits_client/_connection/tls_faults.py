"""Explains why TLS fails to connect: gRPC's message, or a test handshake → a sentence that says what to do."""

import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass

from digits_client import _limits

NOT_TRUSTED = (
    "TLS failed: the server's certificate is not signed by an authority that this client trusts: pass that authority's "
    "certificate as root_certificates"
)
NOT_VALID_NOW = "TLS failed: the server's certificate has expired or is not valid yet: renew it, or set the clock"
OTHER_NAME = (
    "TLS failed: the server's certificate does not contain the name that was called: call a name in its certificate, "
    "or pass that name as server_name"
)
NO_TLS_THERE = "TLS failed: the server does not use TLS on this port: leave tls=True and the certificates out"
TLS_THERE = "the server uses TLS on this port: pass tls=True, or root_certificates with its authority"
FAILED = "TLS failed"
CLOSED_PLAIN = "the server closed the connection at once: if it uses TLS, pass tls=True or root_certificates"
CLOSED_TLS = (
    "TLS failed: the server closed the connection at once: if it asks callers for a certificate, pass one that it "
    "trusts as certificate_chain, and its private_key"
)

_BY_WORDS = (  # of gRPC and BoringSSL, from 1.68 on; the first row that fits counts
    ("certificate has expired", NOT_VALID_NOW),
    ("certificate is not yet valid", NOT_VALID_NOW),
    ("CERTIFICATE_VERIFY_FAILED", NOT_TRUSTED),
    ("Hostname Verification", OTHER_NAME),
    ("is not in peer certificate", OTHER_NAME),
    ("WRONG_VERSION_NUMBER", NO_TLS_THERE),
    ("handshake failed", FAILED),
    ("handshaker", FAILED),
)
_NO_CONNECTION = ("connections to all backends failing", "failed to connect to all addresses")
"""gRPC's messages for a connection that was never opened, as opposed to one that broke."""

_BY_CODE = {9: NOT_VALID_NOW, 10: NOT_VALID_NOW, 62: OTHER_NAME, 64: OTHER_NAME}
"""OpenSSL's X509_V_ERR_… of a certificate that is not valid yet, has expired, bears another name, another address."""


@dataclass
class TlsFaults:
    """Explains the failures of one endpoint.

    encrypted          whether the client uses TLS
    root_certificates  PEM of the authorities that it trusts; None: the platform's own
    server_name        the name that the certificate must contain, if it is not the host's
    shows_certificate  whether the client has its own certificate
    loopback           host and port, if the servers are on this machine; else None
    """

    encrypted: bool
    root_certificates: bytes | None
    server_name: str | None
    shows_certificate: bool
    loopback: tuple[str, int] | None
    _found: str | None = None
    _until: float = 0.0

    def explained(self, words: str) -> str:
        """GRPC's message about an UNAVAILABLE server, after a sentence that says what to do, if there is one."""
        sentence = self._sentence(words)
        return f"{sentence} ({words})" if sentence else words

    def _sentence(self, words: str) -> str | None:
        if self.encrypted:
            for part, sentence in _BY_WORDS:
                if part.lower() in words.lower():
                    return sentence
        if not any(part in words for part in _NO_CONNECTION):
            return None
        # gRPC repeats the last address's failure alone. `localhost` is often two addresses with a server on one.
        found = self._tried()
        if found or "Socket closed" not in words:
            return found
        return CLOSED_TLS if self.encrypted else CLOSED_PLAIN

    def _tried(self) -> str | None:
        """The result of a handshake with a server of this machine; kept for some seconds."""
        if self.loopback is None:
            return None
        # No lock: a signal handler may call while its thread holds it, and a fork may leave it locked.
        if (now := time.monotonic()) >= self._until:
            self._until, self._found = now + _limits.FAULT_SECONDS, None
            self._found = self._handshake(*self.loopback)
        return self._found

    def _handshake(self, host: str, port: int) -> str | None:
        context = self._context()
        with suppress(OSError):
            for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                with suppress(ConnectionError, TimeoutError):
                    sentence = self._with_address(context, host, (str(address[0]), port))
                    if sentence:
                        return sentence
        return None

    def _with_address(self, context: ssl.SSLContext, host: str, address: tuple[str, int]) -> str | None:
        with socket.create_connection(address, _limits.HANDSHAKE_SECONDS) as plain:
            try:
                with context.wrap_socket(plain, server_hostname=self.server_name or host) as secured:
                    if not self.encrypted:
                        return TLS_THERE
                    # The client's part is done before a server of TLS 1.3 has looked for the client's certificate.
                    return None if self.shows_certificate or secured.recv(1) else CLOSED_TLS
            except ssl.SSLCertVerificationError as error:
                return _BY_CODE.get(error.verify_code, NOT_TRUSTED)
            except ssl.SSLError as error:
                if not self.encrypted:
                    return None
                return NO_TLS_THERE if error.reason == "WRONG_VERSION_NUMBER" else CLOSED_TLS

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.set_alpn_protocols(["h2"])
        if not self.encrypted:  # only tests whether there is TLS at all; nothing is sent
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self.root_certificates is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(cadata=self.root_certificates.decode("ascii", "replace"))
        return context
