"""docs/client.md is true: its examples run unchanged, and its tree of errors is that of the code."""

import os
import re
import subprocess
import sys
from pathlib import Path

from support.servers.process import SCRIPTS, ServerProcess

from digits_client import _errors

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/client.md").read_text()
SECONDS = 120
"""Deadline for all examples together."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def folder_of_the_reader(tmp_path: Path) -> Path:
    """The files that the examples name: docs/digit.png, in a folder to which they may write."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/digit.png").write_bytes((ROOT / "docs/digit.png").read_bytes())
    return tmp_path


def test_the_examples_run_one_after_the_other(server: ServerProcess, tmp_path: Path) -> None:
    code = "\n".join(blocks("python"))
    assert code.count("localhost:50051") >= 3
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code.replace("localhost:50051", server.target)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        cwd=folder_of_the_reader(tmp_path),
        env={**os.environ, "DIGITS_TARGET": server.target},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("7 (")
    assert "absent.png 2 range(1, 2)\n" in done.stdout
    assert "[(1, 'SERVING')]\n" in done.stdout
    assert "range(1, 2)\n1\n" in done.stdout
    assert "False" not in done.stdout


def test_the_commands_run(server: ServerProcess, tmp_path: Path) -> None:
    commands = [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines()]
    assert len(commands) >= 7
    path = f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["/bin/sh", "-ec", "\n".join(commands)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        cwd=folder_of_the_reader(tmp_path),
        env={**os.environ, "PATH": path, "DIGITS_TARGET": server.target},
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_tree_of_errors_is_the_one_of_the_code() -> None:
    drawn = (_errors.__doc__ or "").strip().splitlines()[2:]
    assert "\n".join(drawn) in PAGE
