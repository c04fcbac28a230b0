"""Certificates for tests: an authority, and what it signs."""

from dataclasses import dataclass

import trustme

NAME = "digits.test"
"""The name every certificate bears."""


@dataclass(frozen=True)
class Pair:
    """PEM of a certificate and of its key."""

    certificate: bytes
    key: bytes


class Authority:
    """Signs certificates for NAME."""

    def __init__(self) -> None:
        self._authority = trustme.CA()
        self.certificate = self._authority.cert_pem.bytes()

    def sign(self) -> Pair:
        signed = self._authority.issue_cert(NAME)
        return Pair(b"".join(blob.bytes() for blob in signed.cert_chain_pems), signed.private_key_pem.bytes())
