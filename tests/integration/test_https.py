"""TLS on the HTTP port: probes, scrapers and other HTTP callers."""

import socket
import ssl
from collections.abc import Iterator
from http.client import HTTPSConnection
from pathlib import Path

import pytest
from support.calls.rpc import DEADLINE
from support.network.certificates import NAME, Authority, Folder
from support.servers.process import ServerProcess, run_server
from support.waiting import until


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def folder(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return Folder.signed_by(authority, tmp_path_factory.mktemp("https") / "files")


@pytest.fixture(scope="module")
def server(repository: Path, folder: Folder) -> Iterator[ServerProcess]:
    with ServerProcess("--repository", repository, "--http-tls", *folder.mutual_flags) as running:
        yield running.wait_ready()


def status(server: ServerProcess, trusted: Authority, path: str) -> int:
    """The status of a GET by a caller without a certificate that trusts one authority."""
    context = ssl.create_default_context(cadata=trusted.certificate.decode())
    connection = HTTPSConnection(NAME, context=context, timeout=DEADLINE)
    host, _, port = server.http.removeprefix("http://").rpartition(":")
    connection._create_connection = lambda *_: socket.create_connection((host, int(port)), DEADLINE)  # type: ignore[attr-defined]
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_pages_are_read_over_tls(server: ServerProcess, authority: Authority) -> None:
    assert [status(server, authority, path) for path in ("/metrics", "/healthz", "/readyz")] == [200, 200, 200]


def test_a_server_of_another_authority_is_not_believed(server: ServerProcess) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        status(server, Authority(), "/healthz")


def test_plain_http_is_not_answered(server: ServerProcess, authority: Authority) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - closed in one way or another
        server.get("/healthz")
    assert status(server, authority, "/healthz") == 200


def test_a_new_certificate_is_shown_without_a_restart(
    server: ServerProcess, authority: Authority, folder: Folder
) -> None:
    other = Authority()

    def believed(trusted: Authority) -> bool:
        try:
            return status(server, trusted, "/healthz") == 200
        except ssl.SSLError:
            return False

    assert not believed(other)
    folder.put(other.sign())
    until(lambda: believed(other), "the new certificate is shown")
    assert not believed(authority)
    folder.put(authority.sign())
    until(lambda: believed(authority), "the usual one is back")


def test_a_caller_that_closes_its_side_over_tls_ends_its_connection(
    server: ServerProcess, authority: Authority
) -> None:
    """Python ends a TLS session with its caller's half: over TLS a caller waits for its answer before it closes."""
    context = ssl.create_default_context(cadata=authority.certificate.decode())
    host, _, port = server.http.removeprefix("http://").rpartition(":")
    descriptors = Path(f"/proc/{server.process.pid}/fd")
    before = len(list(descriptors.iterdir()))
    for _ in range(20):
        with (
            socket.create_connection((host, int(port)), DEADLINE) as plain,
            context.wrap_socket(plain, server_hostname=NAME) as caller,
        ):
            caller.sendall(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
            with socket.socket(fileno=caller.detach()) as half:
                half.settimeout(DEADLINE)
                half.shutdown(socket.SHUT_WR)
                while half.recv(65536):
                    pass
    until(lambda: len(list(descriptors.iterdir())) <= before, "every connection has ended")
    assert status(server, authority, "/healthz") == 200
    assert not [line for line in server.stderr if "Traceback" in line]


def test_without_a_certificate_there_is_no_tls(repository: Path) -> None:
    ended = run_server("--repository", repository, "--http-tls")
    assert (ended.returncode, ended.stderr) == (1, "Error: TLS needs both --tls-certificate and --tls-key\n")
