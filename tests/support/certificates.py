"""Certificates for tests, made by openssl: an authority, and what it signs."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

NAME = "digits.test"
"""The name every certificate bears."""


@dataclass(frozen=True)
class Pair:
    """PEM of a certificate and of its key."""

    certificate: bytes
    key: bytes


class Authority:
    """Signs certificates for NAME; its files lie in `folder`."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._name = name
        self._make(name, "-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE")
        self.certificate = self._read(name).certificate

    def sign(self, name: str) -> Pair:
        issuer: list[str | Path] = [
            "-CA",
            self._folder / f"{self._name}.pem",
            "-CAkey",
            self._folder / f"{self._name}.key",
        ]
        self._make(name, *issuer, "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{NAME}")
        return self._read(name)

    def _make(self, name: str, *options: str | Path) -> None:
        key, certificate = self._folder / f"{name}.key", self._folder / f"{name}.pem"
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        command = ["openssl", "req", "-x509", *curve, "-keyout", key, "-out", certificate, *options]
        subprocess.run(command, check=True, capture_output=True, timeout=30)

    def _read(self, name: str) -> Pair:
        return Pair(
            self._folder.joinpath(f"{name}.pem").read_bytes(), self._folder.joinpath(f"{name}.key").read_bytes()
        )
