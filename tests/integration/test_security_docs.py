"""docs/security.md is true: its commands make valid files, and its examples run unchanged."""

import re
import subprocess
import sys
from pathlib import Path

from support.calls.rpc import DEADLINE
from support.servers.process import SCRIPTS, ServerProcess

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/security.md").read_text()
MUTUAL_FLAGS = ["--tls-certificate", "tls.crt", "--tls-key", "tls.key", "--tls-client-ca", "ca.crt"]
CALLER = ["--root-certificates", "tls.crt", "--certificate-chain", "caller.crt", "--private-key", "caller.key"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def run_commands(folder: Path) -> None:
    for line in "".join(blocks("console")).splitlines():
        subprocess.run(
            ["/bin/sh", "-ec", line.removeprefix("$ ")], cwd=folder, check=True, timeout=DEADLINE, capture_output=True
        )


def in_folder(folder: Path, flags: list[str]) -> list[str | Path]:
    return [flag if flag.startswith("--") else folder / flag for flag in flags]


def localhost(server: ServerProcess) -> str:
    """The server by the name in its certificate."""
    return server.target.replace("127.0.0.1", "localhost")


def test_the_commands_make_what_the_server_and_its_callers_need(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/digit.png").write_bytes((ROOT / "docs/digit.png").read_bytes())
    run_commands(tmp_path)
    (example,) = blocks("python")
    with ServerProcess("--repository", repository, *in_folder(tmp_path, MUTUAL_FLAGS[:4])) as server:
        code = example.replace("localhost:50051", localhost(server.wait_ready()))
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
            cwd=tmp_path,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("7 (")
    with ServerProcess("--repository", repository, *in_folder(tmp_path, MUTUAL_FLAGS)) as server:
        command: list[str | Path] = [SCRIPTS / "digits", "health", "--target", localhost(server.wait_ready())]
        assert subprocess.run([*command, *CALLER], cwd=tmp_path, timeout=DEADLINE, check=False).returncode == 0
        assert subprocess.run([*command, *CALLER[:2]], cwd=tmp_path, timeout=DEADLINE, check=False).returncode == 1
