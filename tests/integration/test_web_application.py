"""docs/web-application.md is true: its commands, in their order, start a web application in two workers, over TLS."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.needs import need
from support.network.ports import free_port
from support.servers.process import SCRIPTS
from support.waiting import until

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/web-application.md").read_text(encoding="utf-8")
BLOCKS = [
    [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
]
SECONDS = 60.0
"""For the start or the end of a program, and until both workers have answered."""


class Reader:
    """Types the page's commands in a folder with what a clone has after `make install` and the training.

    digits_port, port   the ports of the Digits server and the application, instead of 50051 and 8000
    """

    def __init__(self, folder: Path, repository: Path) -> None:
        self.digits_port, self.port = free_port(), free_port()
        self._folder = folder
        (folder / ".venv").mkdir()
        for name, there in {"docs": ROOT / "docs", "models": repository, ".venv/bin": SCRIPTS}.items():
            (folder / name).symlink_to(there)

    def script(self, commands: list[str]) -> str:
        text = "\n".join(["set -e", *commands]).replace(":50051", f":{self.digits_port}")
        return text.replace("--port 8000", f"--port {self.port}").replace("localhost:8000", f"localhost:{self.port}")

    def type(self, commands: list[str]) -> str:
        """The output of the commands."""
        done = self._run("bash", "-c", self.script(commands))
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def running(self, commands: list[str], path: str = "", status: int = 200) -> Iterator[Path]:
        """A terminal in which the last command keeps running. Yields its output when `path` is answered."""
        command = ["bash", "-c", self.script([*commands[:-1], f"exec {commands[-1]}"])]
        said = self._folder / f"{commands[-1].split()[0].rpartition('/')[2]}.log"
        with said.open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=self._folder,
                stdout=log,
                stderr=log,
                env={**os.environ, "DIGITS_GRPC_PORT": str(self.digits_port), "DIGITS_HTTP_PORT": "0"},
                start_new_session=True,
            )
        try:
            if path:
                until(lambda: process.poll() is not None or self.asks(path)[0] == status, path, SECONDS)
            assert process.poll() is None, said.read_text()
            yield said
            process.terminate()
            assert process.wait(SECONDS) in (0, -signal.SIGTERM), said.read_text()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(SECONDS)

    def asks(self, *arguments: str) -> tuple[int, str]:
        """Status and body of the answer to curl; 0 if no server listens."""
        url = f"localhost:{self.port}{arguments[-1]}"
        done = self._run("curl", "--silent", "--write-out", "\n%{http_code}", *arguments[:-1], url)
        body, _, status = done.stdout.rpartition("\n")
        return int(status), body

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=self._folder, capture_output=True, text=True, timeout=SECONDS, check=False)


@pytest.fixture(scope="module")
def reader(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Has made the secrets, and keeps the Digits server running."""
    need("openssl", "curl")
    reader = Reader(tmp_path_factory.mktemp("clone"), repository)
    reader.type(BLOCKS[0])
    with reader.running(BLOCKS[1]):
        yield reader


def test_the_page_has_the_blocks_that_are_typed_here() -> None:
    assert [block[-1].split()[0] for block in BLOCKS] == [
        *("openssl", ".venv/bin/digits-server", ".venv/bin/uvicorn", "curl", ".venv/bin/gunicorn")
    ]
    assert re.findall(r"^    (.*)$", PAGE, re.MULTILINE) == ["make install", ".venv/bin/digits-train train"]


@pytest.mark.parametrize("command", [BLOCKS[2][-1], BLOCKS[4][-1]], ids=["uvicorn", "gunicorn with preload"])
def test_two_workers_answer_over_tls_and_add_up_their_metrics(reader: Reader, command: str) -> None:
    with reader.running([*BLOCKS[2][:-1], command], "/readyz"):
        said_by_users = reader.type(BLOCKS[3])
        assert '{"digit":7,"confidence":0.9' in said_by_users
        workers: dict[int, int] = {}

        def both_have_answered() -> bool:
            status, body = reader.asks("--form", "file=@" + str(ROOT / "docs/digit.png"), "/digit")
            assert (status, json.loads(body)["digit"]) == (200, 7)
            worker = json.loads(body)["worker"]
            workers[worker] = workers.get(worker, 0) + 1
            return len(workers) == 2

        until(both_have_answered, "an answer of each worker", SECONDS)
        _, metrics = reader.asks("/metrics")
        counted = 'digits_client_calls_total{method="predict",status="OK"} '
        assert f"{counted}{sum(workers.values()) + 1:.1f}\n" in metrics
        assert 'digits_client_calls_waiting{method="predict"} 0.0' in metrics
        refused = reader.asks("--form", "file=@" + str(ROOT / "README.md"), "/digit")
        assert refused[0] == 400
        assert "not a valid PNG" in refused[1]
        assert reader.asks("--form", "other=7", "/digit")[0] == 422
        assert reader.asks("/healthz")[0] == 200


def test_an_application_without_its_token_or_its_server_says_so_to_its_log_and_not_to_users(reader: Reader) -> None:
    without_token = [line.replace("DIGITS_TOKEN_FILE=secrets/token ", "") for line in BLOCKS[2]]
    with reader.running(without_token, "/readyz") as said:
        status, body = reader.asks("--form", "file=@" + str(ROOT / "docs/digit.png"), "/digit")
        assert (status, json.loads(body)) == (500, {"detail": "this service cannot read digits at the moment"})
        assert "Unauthenticated: " in said.read_text()
    nobody_there = [line.replace(":50051", f":{free_port()}") for line in BLOCKS[2]]
    with reader.running(nobody_there, "/healthz"):
        assert reader.asks("/readyz")[0] == 503
        assert reader.asks("--form", "file=@" + str(ROOT / "docs/digit.png"), "/digit")[0] == 503
