"""`digits-server health`: a health check that knows the settings of its server, from all their sources."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.network.certificates import Authority, Folder
from support.network.ports import free_port
from support.servers.process import OVER_BOTH_TRANSPORTS, OVER_GRPCIO, SCRIPTS, START_SECONDS, ServerProcess

from digits_server.__main__ import main
from digits_server.commands.health import arguments_of


def health(*arguments: str | Path, before: tuple[str, ...] = (), **environment: str) -> tuple[int, str]:
    """The exit code of the command, and the one line it prints. Runs in this process."""
    words = [*before, "health", *(str(word) for word in arguments)]
    ended = CliRunner().invoke(main, words, env=environment, catch_exceptions=False)
    (line,) = ended.output.splitlines()
    return ended.exit_code, line


def ports(server: ServerProcess) -> tuple[str, str]:
    """Those of gRPC and of HTTP."""
    return server.target.rpartition(":")[2], server.http.rpartition(":")[2]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "0.0.0.0", "::", "::1"])  # noqa: S104 - for a moment
def test_the_server_is_asked_where_it_listens(repository: Path, host: str) -> None:
    with ServerProcess("--repository", repository, "--host", host) as server:
        server.wait_ready()
        _, http_port = ports(server)
        assert health("--host", host, "--http-port", http_port)[0] == 0
        assert health(before=("--host", host, "--http-port", http_port))[0] == 0
        assert health(DIGITS_HOST=host, DIGITS_HTTP_PORT=http_port)[0] == 0
        assert health("--http-port", http_port, "--host", host, DIGITS_HOST="192.0.2.1", DIGITS_HTTP_PORT="1")[0] == 0
    code, line = health("--host", host, "--http-port", http_port)
    assert code == 1
    assert "Connection refused" in line


def test_tls_on_the_http_port_works_with_any_name_in_the_certificate(repository: Path, tmp_path: Path) -> None:
    Folder(tmp_path).put(Authority().sign())
    flags = [*Folder(tmp_path).flags, "--http-tls"]
    with ServerProcess("--repository", repository, *flags) as server:
        server.wait_ready()
        _, http_port = ports(server)
        assert health("--http-port", http_port, *flags)[0] == 0
        code, line = health("--http-port", http_port)
        assert code == 1
        assert "--http-tls" in line
    with ServerProcess("--repository", repository) as server:
        code, line = health("--http-port", ports(server)[1], *flags)
        assert code == 1
        assert "does not speak TLS" in line


def test_an_empty_variable_means_the_default_port() -> None:
    code, line = health(DIGITS_HTTP_PORT="", DIGITS_HOST="127.0.0.9")
    assert code == 1
    assert "HTTP port 8080 of 127.0.0.9" in line


@contextmanager
def answering(status: int) -> Iterator[str]:
    """The port of a program that answers everything with `status`."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield str(server.server_port)
        server.shutdown()


@pytest.mark.parametrize(("status", "words"), [(503, "not ready"), (401, "--http-open"), (404, "another program")])
def test_any_answer_but_ready_is_unhealthy_and_says_why(status: int, words: str) -> None:
    with answering(status) as port:
        code, line = health("--http-port", port)
    assert code == 1
    assert words in line


@OVER_BOTH_TRANSPORTS
class TestOverGrpc:
    """For an HTTP port that only the server knows."""

    def test_health_is_asked_over_grpc(self, repository: Path) -> None:
        with ServerProcess("--repository", repository) as server:
            server.wait_ready()
            grpc_port, _ = ports(server)
            assert health("--http-port", "0", "--grpc-port", grpc_port) == (
                0,
                f"ready, says gRPC port {grpc_port} of 127.0.0.1",
            )
        code, line = health("--http-port", "0", "--grpc-port", grpc_port)
        assert code == 1
        assert "UNAVAILABLE" in line


@OVER_GRPCIO
@pytest.mark.parametrize("mutual", [False, True])
def test_health_is_asked_over_grpc_in_tls(repository: Path, tmp_path: Path, *, mutual: bool) -> None:
    authority, folder = Authority(), Folder(tmp_path)
    folder.put(authority.sign(), authority)
    flags = folder.mutual_flags if mutual else folder.flags
    with ServerProcess("--repository", repository, *flags) as server:
        server.wait_ready()
        grpc_port, _ = ports(server)
        assert health("--http-port", "0", "--grpc-port", grpc_port, *flags)[0] == 0
        other = Folder(tmp_path / "other")
        other.put(Authority().sign())
        assert health("--http-port", "0", "--grpc-port", grpc_port, *other.flags)[0] == 1


def test_two_unknown_ports_are_one_sentence() -> None:
    code, line = health("--http-port", "0", "--grpc-port", "0")
    assert code == 1
    assert "--http-port" in line


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        (["digits-server", "--http-port", "9"], ["--http-port", "9"]),
        (["/opt/digits/bin/python", "/opt/digits/bin/digits-server", "--http-tls"], ["--http-tls"]),
        (["/sbin/docker-init", "--", "digits-server", "--host", "::"], ["--host", "::"]),
        (["/usr/lib/systemd/systemd"], []),
        (["digits-server-of-others", "digits-serve"], []),
        ([], []),
    ],
)
def test_the_flags_of_the_first_process_of_a_container_are_known(
    words: list[str], arguments: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "cmdline"
    file.write_bytes(b"".join(word.encode() + b"\0" for word in words))
    assert arguments_of(file) == arguments
    assert arguments_of(tmp_path / "none") == []


def test_in_a_container_the_command_finds_the_server_by_the_flags_of_the_first_process(repository: Path) -> None:
    port = str(free_port())
    contained = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]
    with ServerProcess("--repository", repository, "--http-port", port, "--host", "::", under=contained) as server:
        server.wait_ready()
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        inside = ["nsenter", "--target", children[0], "--pid", "--mount", "--"]
        ended = subprocess.run(
            [*inside, SCRIPTS / "digits-server", "health"],
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )
        assert (ended.returncode, ended.stdout) == (0, f"ready, says HTTP port {port} of ::1\n"), ended.stderr
