"""Certificates for tests: an authority, and the certificates that it signs."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

import trustme

NAME = "digits.test"
"""The name in every certificate."""


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

    def sign(self, name: str = NAME, *, not_before: datetime | None = None, not_after: datetime | None = None) -> Pair:
        """Valid from long ago to long after today, by default."""
        signed = self._authority.issue_cert(name, not_before=not_before, not_after=not_after)
        return Pair(b"".join(blob.bytes() for blob in signed.cert_chain_pems), signed.private_key_pem.bytes())


@dataclass(frozen=True)
class Folder:
    """Where a server finds its certificate, its key and the authority of its callers."""

    path: Path

    @classmethod
    def signed_by(cls, authority: Authority, path: Path) -> Self:
        """With a new pair, and the authority that signed it."""
        folder = cls(path)
        folder.put(authority.sign(), authority)
        return folder

    @property
    def flags(self) -> list[str | Path]:
        """TLS, with these files."""
        return ["--tls-certificate", self.path / "tls.crt", "--tls-key", self.path / "tls.key"]

    @property
    def mutual_flags(self) -> list[str | Path]:
        """The same, for callers whose certificate the authority signed."""
        return [*self.flags, "--tls-client-ca", self.path / "ca.crt"]

    def put(self, pair: Pair, authority: Authority | None = None) -> None:
        """Writes the files, one after the other, as an operator's `cp` would."""
        self.path.mkdir(exist_ok=True)
        (self.path / "tls.crt").write_bytes(pair.certificate)
        (self.path / "tls.key").write_bytes(pair.key)
        if authority:
            (self.path / "ca.crt").write_bytes(authority.certificate)
