"""The log in JSON: every line is an object, also those of libraries, and failed handshakes are logged."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.network.certificates import Authority, Folder
from support.servers.process import OVER_GRPCIO, ServerProcess, run_server
from support.waiting import until

pytestmark = OVER_GRPCIO


@pytest.fixture(scope="module")
def server(repository: Path, transport: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:  # noqa: ARG001
    folder = Folder(tmp_path_factory.mktemp("json-log") / "live")
    folder.put(Authority().sign())
    with ServerProcess("--repository", repository, "--http-tls", *folder.flags) as running:
        yield running.wait_ready()


def test_lines_of_libraries_are_json(server: ServerProcess) -> None:
    until(lambda: any("TensorFlow Lite" in record["message"] for record in server.log), "LiteRT's own line")
    assert [line for line in server.stderr if not line.startswith("{")] == []


def test_a_failed_handshake_over_http_is_logged_with_its_peer_and_the_reason(server: ServerProcess) -> None:
    host, _, port = server.http.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port))) as caller:
        peer = f"127.0.0.1:{caller.getsockname()[1]}"
        caller.sendall(b"GET / HTTP/1.1\r\n\r\n")
        caller.recv(1000)
    until(lambda: any(record.get("peer") == peer for record in server.log), "a line about the peer")
    (line,) = (record for record in server.log if record.get("peer") == peer)
    assert "HTTP_REQUEST" in line["error"]


def test_why_a_server_cannot_start_is_json_too(tmp_path: Path) -> None:
    ended = run_server("--log-format", "json", "--repository", tmp_path / "absent")
    assert ended.returncode == 1
    records = [json.loads(line) for line in ended.stderr.splitlines()]
    assert "no model repository" in records[-1]["message"]
