"""Every kind of key that `openssl` makes: if the clients' own TLS refuses it, the server does not start with it."""

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from digits_server.errors import OperatorError
from digits_server.security.tls import identity
from digits_server.settings import Settings

NAME = "digits.test"
HANDSHAKE_SECONDS = 10.0


def curve(name: str, *more: str) -> tuple[str, ...]:
    return ("ec", "-pkeyopt", f"ec_paramgen_curve:{name}", *more)


KINDS = {
    "RSA of 2048 bits": ("rsa:2048",),
    "RSA of 4096 bits": ("rsa:4096",),
    "RSA-PSS": ("rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048"),
    **{name: curve(name) for name in ("P-224", "P-256", "P-384", "P-521", "secp256k1", "prime192v1", "SM2")},
    **{name: curve(name) for name in ("brainpoolP256r1", "brainpoolP384r1", "brainpoolP512r1")},
    "P-256 by its parameters": curve("P-256", "-pkeyopt", "ec_param_enc:explicit"),
    "Ed25519": ("ed25519",),
    "Ed448": ("ed448",),
    "DSA": ("dsa:parameters",),
}
ACCEPTED = {"RSA of 2048 bits", "RSA of 4096 bits", "P-256", "P-384"}
ACCEPTED_AUTHORITIES = ACCEPTED | {"P-224", "P-521", "Ed25519"}


def openssl(folder: Path, *arguments: str) -> None:
    command = [shutil.which("openssl") or "openssl", *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60)


def make(folder: Path, kind: str, *, name: str = "tls") -> None:
    if kind == "DSA":
        openssl(folder, "dsaparam", "-out", "parameters", "2048")
    subject = ["-days", "2", "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
    files = ["-keyout", f"{name}.key", "-out", f"{name}.crt"]
    openssl(folder, "req", "-x509", "-newkey", *KINDS[kind], "-nodes", *files, *subject)


def sign(folder: Path, kind: str) -> None:
    """A pair `tls` of P-256, signed by an authority `ca` of this kind."""
    make(folder, kind, name="ca")
    (folder / "names").write_text(f"subjectAltName=DNS:{NAME}\n")
    files = ["-keyout", "tls.key", "-out", "tls.csr"]
    openssl(folder, "req", "-newkey", *KINDS["P-256"], "-nodes", "-subj", f"/CN={NAME}", *files)
    authority = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names"]
    openssl(folder, "x509", "-req", "-in", "tls.csr", "-days", "2", "-out", "tls.crt", *authority)


def reason(folder: Path, *, client_ca: bool = False) -> str:
    """Why the server does not start with these files; empty if it does."""
    files = Settings(
        tls_certificate=folder / "tls.crt",
        tls_key=folder / "tls.key",
        tls_client_ca=folder / "ca.crt" if client_ca else None,
    )
    try:
        identity(files)
    except OperatorError as error:
        return error.message
    return ""


@contextmanager
def grpc_server(folder: Path, client_ca: bytes | None) -> Iterator[str]:
    pair = (folder / "tls.key").read_bytes(), (folder / "tls.crt").read_bytes()
    server = grpc.server(ThreadPoolExecutor(1))
    credentials = grpc.ssl_server_credentials([pair], client_ca, client_ca is not None)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(0)


def grpc_connects(folder: Path, trusted: str, *, client_ca: bool = False) -> bool:
    """Whether a grpcio client and a grpcio server accept the pair `tls`; with `client_ca`, both use it."""
    authority = (folder / "ca.crt").read_bytes() if client_ca else None
    own = ((folder / "tls.key").read_bytes(), (folder / "tls.crt").read_bytes()) if client_ca else (None, None)
    trust = grpc.ssl_channel_credentials((folder / trusted).read_bytes(), *own)
    options = [("grpc.ssl_target_name_override", NAME), ("grpc.enable_retries", 0)]
    try:
        with grpc_server(folder, authority) as target, grpc.secure_channel(target, trust, options) as channel:
            return connects(channel)
    except RuntimeError:  # the server cannot use the key
        return False


def connects(channel: grpc.Channel) -> bool:
    settled = threading.Event()
    states = []

    def note(state: grpc.ChannelConnectivity) -> None:
        states.append(state)
        if state in (grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.TRANSIENT_FAILURE):
            settled.set()

    channel.subscribe(note, try_to_connect=True)
    assert settled.wait(HANDSHAKE_SECONDS)
    channel.unsubscribe(note)
    return grpc.ChannelConnectivity.READY in states


def python_connects(folder: Path) -> bool:
    """Whether Python's ssl, as HTTP clients use it, accepts the pair from our HTTP server's kind of context."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client = ssl.create_default_context(cafile=str(folder / "tls.crt"))
    try:
        server.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    except ssl.SSLError:
        return False
    ours, theirs = socket.socketpair()
    with ours, theirs, ThreadPoolExecutor(1) as thread:
        accepting = thread.submit(server.wrap_socket, theirs, server_side=True)
        try:
            client.wrap_socket(ours, server_hostname=NAME).close()
        except OSError:
            return False
        finally:
            ours.close()
            if accepting.exception() is None:
                accepting.result().close()
        return True


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_is_accepted_if_the_clients_accept_it_and_refused_in_a_sentence_otherwise(
    tmp_path: Path, kind: str
) -> None:
    make(tmp_path, kind)
    assert grpc_connects(tmp_path, "tls.crt") == (kind in ACCEPTED)
    said = reason(tmp_path)
    if kind in ACCEPTED:
        assert python_connects(tmp_path)
        assert said == ""
    else:
        assert str(tmp_path / "tls.crt") in said


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("DSA", "SM2", "prime192v1")])
def test_authorities_that_grpc_cannot_check_are_refused_in_a_sentence(tmp_path: Path, kind: str) -> None:
    sign(tmp_path, kind)
    accepted = kind in ACCEPTED_AUTHORITIES
    assert grpc_connects(tmp_path, "ca.crt") == accepted
    assert grpc_connects(tmp_path, "ca.crt", client_ca=True) == accepted
    assert (reason(tmp_path, client_ca=True) == "") == accepted
    with (tmp_path / "tls.crt").open("ab") as chain:
        chain.write((tmp_path / "ca.crt").read_bytes())
    assert (reason(tmp_path) == "") == accepted


def test_a_certificate_with_words_before_it_is_accepted(tmp_path: Path) -> None:
    make(tmp_path, "P-256")
    certificate = (tmp_path / "tls.crt").read_text()
    (tmp_path / "tls.crt").write_text(f"Größe: P-256\n{certificate}", encoding="utf-8")
    assert reason(tmp_path) == ""
