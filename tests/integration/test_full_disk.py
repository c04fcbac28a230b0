"""A full disk: a server goes on serving although its log cannot be written, and an import ends with one line."""

import json
import resource
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from support.calls.rpc import DEADLINE
from support.network.ports import free_port
from support.servers.process import SCRIPTS, STOP_SECONDS
from support.waiting import until

START_SECONDS = 120.0
IMAGE = {"inputs": [{"name": "images", "shape": [1, 784], "datatype": "UINT8", "data": [0] * 784}]}
LARGEST_FILE = 30_000
"""Bytes: a limit on the size of files fails writes the way a full disk does, and works without privileges."""


def status(url: str, body: bytes | None = None) -> int:
    try:
        with urllib.request.urlopen(url, body, timeout=DEADLINE) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


def test_a_server_whose_log_is_on_a_full_disk_serves_and_stops(repository: Path) -> None:
    port = free_port()
    flags: list[str | Path] = ["--repository", repository, "--grpc-port", "0", "--http-port", str(port), "--access-log"]
    http = f"http://127.0.0.1:{port}"
    with Path("/dev/full").open("w") as full:  # every write to it fails as on a full disk
        server = subprocess.Popen([SCRIPTS / "digits-server", *flags], stdout=full, stderr=full)
    try:
        until(lambda: status(f"{http}/readyz") == 200, "the server is ready", START_SECONDS)
        for _ in range(20):
            assert status(f"{http}/v2/models/digits/infer", json.dumps(IMAGE).encode()) == 200
            assert status(f"{http}/v2/models/digits/infer", b"{") == 400
        server.terminate()
        assert server.wait(STOP_SECONDS) == 0
    finally:
        server.kill()
        server.wait()


def test_an_import_to_a_full_disk_is_one_line_and_leaves_nothing(repository: Path, tmp_path: Path) -> None:
    target = tmp_path / "models"
    done = subprocess.run(
        [SCRIPTS / "digits-train", "import", repository / "digits/1/model.keras", "--repository", target],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE)),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "digits-train: could not write: File too large\n")
    assert [path for path in target.rglob("*") if path.is_file()] == []
