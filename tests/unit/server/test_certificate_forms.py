"""Certificates whose PEM or DER is damaged: a reason for the operator, and never another kind of failure."""

import ssl
from pathlib import Path

import pytest

from digits_server.errors import OperatorError
from digits_server.security import tls
from digits_server.security.key_kinds import kinds_in
from digits_server.security.reloading import FileContent


def pem(der: bytes) -> bytes:
    return ssl.DER_cert_to_PEM_cert(der).encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"-----END CERTIFICATE-----\n", "a certificate without a beginning"),
        (pem(b"\x04\x00"), "expected a sequence in DER"),
        (pem(b"\x30\x02\x04\x00"), "expected a sequence in DER"),
        (pem(b"\x30\x05\x30\x00"), "the certificate ends early"),
        (pem(b"\x30\x82\x01"), "the certificate ends early"),
        (pem(b"\x30\x02\x30\x00"), "the certificate ends early"),
    ],
)
def test_a_damaged_certificate_is_a_value_error_and_names_the_flag(
    tmp_path: Path, content: bytes, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        kinds_in(content)
    path = tmp_path / "file.pem"
    path.write_bytes(content)
    with pytest.raises(OperatorError, match=f"--tls-client-ca: cannot use .*: ({message})"):
        tls._kinds("--tls-client-ca", FileContent(path, content))


def test_a_file_without_certificates_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "file.pem"
    path.write_bytes(b"nothing")
    with pytest.raises(OperatorError, match="--tls-client-ca: expected PEM certificates in"):
        tls._kinds("--tls-client-ca", FileContent(path, b"nothing"))
