"""Runs `digits-server models`."""

import json
import subprocess
from pathlib import Path
from typing import Any

from support.servers.process import SCRIPTS


def models(root: Path, *arguments: str) -> tuple[int, str]:
    """The exit code of one command, and its output, or else the last line of its errors."""
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


def stated(root: Path) -> dict[str, Any]:
    """The content of pin.json without the time."""
    pin = json.loads(root.joinpath("digits/pin.json").read_text())
    return {name: value for name, value in pin.items() if name != "pinnedAt"}


def listed(root: Path, *flags: str) -> dict[str, Any]:
    """The output of `list --json`."""
    code, said = models(root, "list", "--json", *flags)
    assert code == 0
    return dict(json.loads(said))
