"""Runs `digits-server models`."""

import json
import subprocess
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from digits_server.__main__ import main
from support.servers.process import SCRIPTS


def models(root: Path, *arguments: str) -> tuple[int, str]:
    """The exit code of one command, and its output, or else the last line of its errors. Runs in this process."""
    ended = CliRunner().invoke(main, ["models", *arguments, "--repository", str(root)], catch_exceptions=False)
    return ended.exit_code, said(ended.stdout, ended.stderr)


def models_process(root: Path, *arguments: str) -> tuple[int, str]:
    """The same in a process of its own."""
    ended = subprocess.run(
        [SCRIPTS / "digits-server", "models", *arguments, "--repository", root],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in ended.stderr
    return ended.returncode, said(ended.stdout, ended.stderr)


def said(output: str, errors: str) -> str:
    return output or errors.splitlines(keepends=True)[-1]


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
