"""TLS: which servers the clients trust, and how they authenticate. Over grpcio, because native has no TLS."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.client.both import Connect
from support.client.scripted import ScriptedServer
from support.network.certificates import NAME, Authority, Folder, Pair
from support.network.ports import free_port
from support.pictures.pixels import IMAGE
from support.servers.process import ServerProcess

from digits_client import Unavailable
from digits_client.cli import run


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def identity(authority: Authority) -> Pair:
    """A caller's own certificate."""
    return authority.sign()


@pytest.fixture(scope="module")
def folder(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return Folder.signed_by(authority, tmp_path_factory.mktemp("tls") / "files")


@pytest.fixture(scope="module")
def server(repository: Path, folder: Folder) -> Iterator[ServerProcess]:
    with ServerProcess("--repository", repository, *folder.flags) as running:
        yield running.wait_ready()


@pytest.fixture(scope="module")
def strict_server(repository: Path, folder: Folder) -> Iterator[ServerProcess]:
    """A server that requires a certificate of the authority from its callers."""
    with ServerProcess("--repository", repository, *folder.mutual_flags) as running:
        yield running.wait_ready()


def test_a_server_of_a_trusted_authority_is_called(
    connect: Connect, server: ServerProcess, authority: Authority
) -> None:
    client = connect(server.target, root_certificates=authority.certificate, server_name=NAME)
    assert client.predict(IMAGE).model_version == 1
    assert client.health()
    assert client.model().runtime == "litert"


def test_a_server_of_an_unknown_authority_is_not_called(connect: Connect, server: ServerProcess) -> None:
    other = Authority()
    with pytest.raises(Unavailable, match="TLS failed: the server's certificate is not signed by an authority"):
        connect(server.target, root_certificates=other.certificate, server_name=NAME).predict(IMAGE, timeout=5)
    with pytest.raises(Unavailable, match="TLS failed: the server's certificate is not signed by an authority"):
        connect(server.target, tls=True, server_name=NAME).predict(IMAGE, timeout=5)


def test_a_server_of_another_name_is_not_called(connect: Connect, server: ServerProcess, authority: Authority) -> None:
    client = connect(server.target, root_certificates=authority.certificate, server_name="elsewhere.test")
    with pytest.raises(Unavailable, match="TLS failed: the server's certificate does not contain the name"):
        client.predict(IMAGE, timeout=5)


def test_a_plain_client_does_not_reach_a_tls_server(connect: Connect, server: ServerProcess) -> None:
    with pytest.raises(Unavailable, match="the server uses TLS on this port: pass tls=True"):
        connect(server.target).predict(IMAGE, timeout=5)


def test_a_tls_client_does_not_reach_a_plain_server(
    connect: Connect, script: ScriptedServer, authority: Authority
) -> None:
    with pytest.raises(Unavailable, match="TLS failed: the server does not use TLS on this port"):
        connect(script.target, root_certificates=authority.certificate).predict(IMAGE, timeout=5)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"tls": True}, "is not signed by an authority"),
        ({"roots": True, "server_name": "elsewhere.test"}, "does not contain the name"),
        ({"roots": True}, "does not contain the name"),
        ({}, "the server uses TLS on this port"),
    ],
)
def test_a_host_of_two_addresses_with_a_server_on_one_does_not_hide_what_is_wrong(
    connect: Connect, server: ServerProcess, authority: Authority, settings: dict[str, Any], sentence: str
) -> None:
    """`localhost` is also ::1, where no server listens: gRPC repeats the failure of the last address."""
    given = dict(settings)
    if given.pop("roots", False):
        given["root_certificates"] = authority.certificate
    client = connect(server.target.replace("127.0.0.1", "localhost"), **given)
    for ask in (lambda: client.predict(IMAGE, timeout=5), client.health, lambda: client.predict_batch([IMAGE])):
        with pytest.raises(Unavailable, match=sentence):
            ask()


def test_without_a_listener_tls_is_not_blamed(connect: Connect, authority: Authority) -> None:
    with pytest.raises(Unavailable) as failed:
        connect(f"localhost:{free_port()}", root_certificates=authority.certificate).predict(IMAGE, timeout=5)
    assert "TLS" not in str(failed.value)


def test_a_caller_shows_its_certificate_to_a_server_that_asks(
    connect: Connect, strict_server: ServerProcess, authority: Authority, identity: Pair
) -> None:
    trusted = {"root_certificates": authority.certificate, "server_name": NAME}
    client = connect(strict_server.target, certificate_chain=identity.certificate, private_key=identity.key, **trusted)
    assert client.predict(IMAGE).model_version == 1
    for target in (strict_server.target, strict_server.target.replace("127.0.0.1", "localhost")):
        with pytest.raises(Unavailable, match=r"TLS failed: .* if it asks callers for a certificate"):
            connect(target, **trusted).predict(IMAGE, timeout=5)


def test_the_command_line_trusts_the_authorities_it_is_given(
    server: ServerProcess, authority: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_bytes(authority.certificate)
    command = ["health", "--target", server.target, "--root-certificates", str(roots), "--server-name", NAME]
    assert run(command) == 0
    assert capsys.readouterr().out == "serving\n"


def test_a_file_of_authorities_that_cannot_be_read_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["health", "--root-certificates", "absent.pem"]) == 1
    assert capsys.readouterr().err == "digits: cannot read absent.pem: No such file or directory\n"
