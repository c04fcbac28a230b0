"""docs/troubleshooting.md quotes real messages: each is produced here, or read from the source."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.network.certificates import NAME, Authority, Folder
from support.servers.process import SCRIPTS, ServerProcess, run_server

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
QUOTED = [
    (heading, message)
    for heading, section in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    for message in re.findall(r"^```text\n(.*?)\n```$", section, re.DOTALL | re.MULTILINE)
]
SECONDS = 60
DIGIT = str(ROOT / "docs/digit.png")
FROM_SOURCE = {
    "no model is serving yet": ("server/src/digits_server/serving/registry.py", "no model is serving yet"),
    "not ready": ("server/src/digits_server/pages/operations.py", "not ready"),
    "the server was not ready within 60 seconds": ("deploy/local/main_job.py", "READY_SECONDS = 60.0"),
}
"""Messages of a server that is still loading, which a test cannot keep in that state: file and text."""
VARIABLE = re.compile(r"…(?=:|$| \()")
"""The part of a message that differs from case to case; other dots belong to the message."""


def run(*command: str | Path, **environment: str) -> str:
    """The standard error of a command that fails."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=SECONDS, check=False, env={**os.environ, **environment}
    )
    assert done.returncode != 0
    return done.stderr


def digits(*arguments: str | Path, **environment: str) -> str:
    return run(SCRIPTS / "digits", *arguments, "--timeout", "10", **environment)


@pytest.fixture(scope="module")
def tls_server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerProcess, Path]]:
    """A server with TLS and tokens, and the folder of its files."""
    folder = Folder(tmp_path_factory.mktemp("tls") / "files")
    authority = Authority()
    folder.put(authority.sign(), authority)
    (folder.path / "tokens").write_text("a" * 32)
    (folder.path / "other.crt").write_bytes(Authority().certificate)
    flags = (*folder.flags, "--tokens", folder.path / "tokens")
    with ServerProcess("--repository", repository, "--transport", "grpcio", *flags) as running:
        yield running.wait_ready(), folder.path


@pytest.fixture(scope="module")
def seen(
    server: ServerProcess,
    tls_server: tuple[ServerProcess, Path],
    repository: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, str]:
    """The messages that users see, by heading of the page."""
    tls, files = tls_server
    empty = tmp_path_factory.mktemp("empty")
    (empty / "digits").mkdir()
    port = server.target.rpartition(":")[2]
    trusting = ("--target", tls.target, "--root-certificates", files / "ca.crt")
    limits = ("--max-queue-size", "100", "--max-image-pixels", "100", "--transport", "grpcio")
    with ServerProcess("--repository", repository, *limits) as strict:
        strict.wait_ready()
        too_many = digits("bench", "--images", "101", "--seconds", "0.1", "--json", "--target", strict.target)
        too_large = digits("predict", DIGIT, "--target", strict.target)
    return {
        "The port is taken": run(
            SCRIPTS / "digits-server", "--repository", repository, "--grpc-port", port, "--http-port", "0"
        ),
        "There is no model to serve": run_server("--repository", empty / "none").stderr
        + run_server("--repository", empty).stderr,
        "A flag is unknown, or its value is impossible": run_server("--queue", "3").stderr
        + run_server("--workers", "0").stderr,
        "Connection refused": digits("health", "--target", "localhost:1"),
        "The address in the message is not the one you called": digits(
            "health", "--target", "192.0.2.1:50051", grpc_proxy="http://127.0.0.1:9", no_proxy="", no_grpc_proxy=""
        ),
        "The host name is unknown": digits("health", "--target", "nosuch.invalid:50051"),
        "The client uses TLS, the server does not": digits("predict", DIGIT, "--target", server.target, "--tls"),
        "The server uses TLS, the client does not": digits("predict", DIGIT, "--target", tls.target),
        "The TLS certificate has another name": digits("predict", DIGIT, *trusting),
        "The TLS certificate is not trusted": digits(
            *("predict", DIGIT, "--target", tls.target),
            *("--root-certificates", files / "other.crt", "--server-name", NAME),
        ),
        "UNAUTHENTICATED": digits("predict", DIGIT, *trusting, "--server-name", NAME),
        "The token would travel in plaintext": digits(
            "predict", DIGIT, "--target", "192.0.2.1:50051", "--token-file", files / "tokens"
        ),
        "RESOURCE_EXHAUSTED": too_many + too_large,
        "The image file is not accepted": digits("predict", ROOT / "README.md", "--target", server.target),
        "There is no wheel for this platform": run(
            *(sys.executable, "-m", "pip", "download", "--no-index", "--only-binary", ":all:", "--no-deps"),
            *("--platform", "musllinux_1_2_x86_64", "--dest", empty, "ai-edge-litert==2.3.0"),
        ),
    }


def test_the_page_quotes_messages() -> None:
    assert len(QUOTED) >= 15


@pytest.mark.parametrize(("heading", "message"), QUOTED, ids=[message[:60] for _, message in QUOTED])
def test_a_quoted_message_is_the_real_one(heading: str, message: str, seen: dict[str, str]) -> None:
    if message in FROM_SOURCE:
        path, text = FROM_SOURCE[message]
        assert text in (ROOT / path).read_text(encoding="utf-8")
        return
    parts = [re.escape(part) for part in VARIABLE.split(message)]
    assert re.search(".*".join(parts), seen[heading]), seen[heading]
