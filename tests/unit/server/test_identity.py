"""The files of TLS: which are accepted as a server's identity, and which message an operator gets for others."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support.network.certificates import Authority, Folder

from digits_server.errors import OperatorError
from digits_server.security.tls import Identity, http_context, identity
from digits_server.settings import Settings


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def folder(tmp_path: Path, authority: Authority) -> Folder:
    return Folder.signed_by(authority, tmp_path / "tls")


def settings(folder: Folder) -> Settings:
    path = folder.path
    return Settings(tls_certificate=path / "tls.crt", tls_key=path / "tls.key", tls_client_ca=path / "ca.crt")


def read(folder: Folder) -> Identity:
    found = identity(settings(folder))
    assert found
    return found.value


def refused(folder: Folder) -> str:
    with pytest.raises(OperatorError) as caught:
        read(folder)
    return caught.value.message


def openssl(folder: Folder, *arguments: str) -> None:
    command = [shutil.which("openssl") or "openssl", *arguments]
    subprocess.run(command, cwd=folder.path, check=True, capture_output=True, timeout=60)


def self_signed(folder: Folder, *kind: str) -> None:
    """The pair that the `openssl` of docs/security.md makes."""
    names = ["-subj", "/CN=digits.test", "-addext", "subjectAltName=DNS:digits.test"]
    openssl(folder, "req", "-x509", "-newkey", *kind, "-nodes", "-keyout", "tls.key", "-out", "tls.crt", *names)


def test_the_identity_is_the_content_of_the_files(folder: Folder, authority: Authority) -> None:
    own = read(folder)
    assert own.key == (folder.path / "tls.key").read_bytes()
    assert own.certificate == (folder.path / "tls.crt").read_bytes()
    assert own.client_ca == authority.certificate


def test_the_key_is_not_shown_when_the_identity_is(folder: Folder) -> None:
    own = read(folder)
    assert own.key.decode().splitlines()[1] not in repr(own)


@pytest.mark.parametrize("kind", [("rsa:2048",), ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")])
def test_a_self_signed_pair_is_taken(folder: Folder, kind: tuple[str, ...]) -> None:
    self_signed(folder, *kind)
    assert read(folder).expires > 0


def test_a_key_too_short_to_be_safe_is_refused(folder: Folder) -> None:
    self_signed(folder, "rsa:1024")
    assert "too small" in refused(folder)


def test_an_encrypted_key_is_refused_without_asking_anyone(folder: Folder) -> None:
    openssl(folder, "pkey", "-in", "tls.key", "-aes128", "-passout", "pass:secret", "-out", "encrypted")
    (folder.path / "encrypted").replace(folder.path / "tls.key")
    assert refused(folder) == "--tls-key: expected a key without a passphrase"


@pytest.mark.parametrize("name", ["tls.crt", "tls.key", "ca.crt"])
@pytest.mark.parametrize("content", [b"", b"no PEM\n", b"\x80\xff", b"-----BEGIN CERTIFICATE-----\nAA==\n"])
def test_a_file_that_is_not_pem_is_named(folder: Folder, name: str, content: bytes) -> None:
    (folder.path / name).write_bytes(content)
    assert str(folder.path / name) in refused(folder)


FLAGS = {"tls.crt": "--tls-certificate", "tls.key": "--tls-key", "ca.crt": "--tls-client-ca"}


@pytest.mark.parametrize("name", FLAGS)
def test_a_named_pipe_in_the_place_of_a_file_is_refused_at_once(folder: Folder, name: str) -> None:
    (folder.path / name).unlink()
    os.mkfifo(folder.path / name)
    assert refused(folder).endswith("expected a regular file, found a named pipe")


@pytest.mark.parametrize("name", ["tls.crt", "tls.key", "ca.crt"])
def test_a_file_that_is_not_there_is_named(folder: Folder, name: str) -> None:
    (folder.path / name).unlink()
    assert refused(folder) == f"{FLAGS[name]}: cannot read {folder.path / name}: No such file or directory"


def test_without_files_there_is_no_tls() -> None:
    assert identity(Settings()) is None


def test_one_of_the_two_files_alone_is_refused(folder: Folder) -> None:
    certificate, key = folder.path / "tls.crt", folder.path / "tls.key"
    for alone in (Settings(tls_certificate=certificate), Settings(tls_key=key)):
        with pytest.raises(OperatorError, match="needs both"):
            identity(alone)


def test_authorities_of_callers_without_a_certificate_of_its_own_are_refused(folder: Folder) -> None:
    with pytest.raises(OperatorError, match="needs both"):
        identity(Settings(tls_client_ca=folder.path / "ca.crt"))


def test_a_verified_version_is_shown_although_its_files_are_gone(folder: Folder) -> None:
    own = identity(settings(folder))
    assert own
    for name in ("tls.crt", "tls.key"):
        (folder.path / name).write_text("something else")
    http_context(own)
