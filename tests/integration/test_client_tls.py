"""TLS: whom the clients trust, and how they show who they are."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray
from support.certificates import NAME, Authority, Pair
from support.clients import Connect, connecting
from support.scripted import ScriptedServer

from digits_client import Unavailable
from digits_client.cli import run

IMAGE: NDArray[np.uint8] = np.full((28, 28), 7, np.uint8)


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    with connecting(request.param) as connect:
        yield connect


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def identity(authority: Authority) -> Pair:
    """A caller's own certificate."""
    return authority.sign()


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[ScriptedServer]:
    own = authority.sign()
    with ScriptedServer(credentials=grpc.ssl_server_credentials([(own.key, own.certificate)])) as server:
        yield server


@pytest.fixture(scope="module")
def strict_server(authority: Authority) -> Iterator[ScriptedServer]:
    """Asks callers for a certificate of the authority."""
    own = authority.sign()
    credentials = grpc.ssl_server_credentials([(own.key, own.certificate)], authority.certificate, True)
    with ScriptedServer(credentials=credentials) as server:
        yield server


def test_a_server_of_a_trusted_authority_is_called(
    connect: Connect, server: ScriptedServer, authority: Authority
) -> None:
    client = connect(server.target, root_certificates=authority.certificate, server_name=NAME)
    assert client.predict(IMAGE).digit == 7
    assert client.health()
    assert client.model().runtime == "scripted"


def test_a_server_of_an_unknown_authority_is_not_called(connect: Connect, server: ScriptedServer) -> None:
    other = Authority()
    with pytest.raises(Unavailable):
        connect(server.target, root_certificates=other.certificate, server_name=NAME).predict(IMAGE, timeout=5)
    with pytest.raises(Unavailable):
        connect(server.target, tls=True, server_name=NAME).predict(IMAGE, timeout=5)


def test_a_server_of_another_name_is_not_called(connect: Connect, server: ScriptedServer, authority: Authority) -> None:
    client = connect(server.target, root_certificates=authority.certificate, server_name="elsewhere.test")
    with pytest.raises(Unavailable):
        client.predict(IMAGE, timeout=5)


def test_a_plain_client_does_not_reach_a_tls_server(connect: Connect, server: ScriptedServer) -> None:
    with pytest.raises(Unavailable):
        connect(server.target).predict(IMAGE, timeout=5)


def test_a_caller_shows_its_certificate_to_a_server_that_asks(
    connect: Connect, strict_server: ScriptedServer, authority: Authority, identity: Pair
) -> None:
    trusted = {"root_certificates": authority.certificate, "server_name": NAME}
    client = connect(strict_server.target, certificate_chain=identity.certificate, private_key=identity.key, **trusted)
    assert client.predict(IMAGE).digit == 7
    with pytest.raises(Unavailable):
        connect(strict_server.target, **trusted).predict(IMAGE, timeout=5)


def test_the_command_line_trusts_the_authorities_it_is_given(
    server: ScriptedServer, authority: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_bytes(authority.certificate)
    command = ["health", "--target", server.target, "--root-certificates", str(roots), "--server-name", NAME]
    assert run(command) == 0
    assert capsys.readouterr().out == "serving\n"


def test_a_file_of_authorities_that_cannot_be_read_is_named(
    server: ScriptedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["health", "--target", server.target, "--root-certificates", "absent.pem"]) == 1
    assert capsys.readouterr().err == "digits: cannot read absent.pem: No such file or directory\n"
