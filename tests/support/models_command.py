"""`digits-server models`, run as anyone would."""

import subprocess
from pathlib import Path

from support.servers import SCRIPTS


def models(root: Path, *arguments: str) -> tuple[int, str]:
    """Exit code of one command, and what it said: its output, or else the last line of its errors."""
    ended = subprocess.run(
        [SCRIPTS / "digits-server", "models", *arguments, "--repository", root],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in ended.stderr
    return ended.returncode, ended.stdout or ended.stderr.splitlines(keepends=True)[-1]


def spoil(version: Path) -> None:
    version.joinpath("model.tflite").write_bytes(b"spoilt")
