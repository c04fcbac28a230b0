"""The shells complete the server's commands, flags and choices, as docs/operating.md says."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from support.servers.process import SCRIPTS

PAGE = (Path(__file__).parents[2] / "docs" / "operating.md").read_text(encoding="utf-8")
SECONDS = 60


def run(*command: str | Path, **environment: str) -> str:
    path = f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"
    told = {**os.environ, "PATH": path, **environment}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True, env=told)
    return ended.stdout


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("--max-b", "--max-batch-size"), ("--transport gr", "grpcio"), ("mod", "models"), ("--no-ref", "--no-reflection")],
)
def test_bash_completes_what_is_typed(typed: str, offered: str) -> None:
    line = 'eval "$(_DIGITS_SERVER_COMPLETE=bash_source digits-server)"'
    assert line in PAGE
    words = f"digits-server {typed}".split()
    script = f"""{line}
COMP_WORDS=({" ".join(words)})
COMP_CWORD={len(words) - 1}
_digits_server_completion digits-server
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    assert offered in run("bash", "-ec", script).splitlines()


def test_every_flag_of_the_help_is_offered() -> None:
    wanted = {
        flag
        for line in run("digits-server", "--help").splitlines()
        if line.startswith("  -")
        for flag in re.findall(r"--(?:\[no-\])?([a-z-]+)", line.split("  ")[1])
    }
    typed = {"COMP_WORDS": "digits-server --", "COMP_CWORD": "1"}
    offered = run("digits-server", _DIGITS_SERVER_COMPLETE="zsh_complete", **typed).split()
    assert len(wanted) > 40
    assert wanted <= {flag.removeprefix("--") for flag in offered}


def test_zsh_and_fish_get_a_script_that_asks_the_server() -> None:
    for shell, line in (
        ("zsh", 'eval "$(_DIGITS_SERVER_COMPLETE=zsh_source digits-server)"'),
        ("fish", "_DIGITS_SERVER_COMPLETE=fish_source digits-server | source"),
    ):
        assert line in PAGE
        assert f"_DIGITS_SERVER_COMPLETE={shell}_complete" in run(
            "digits-server", _DIGITS_SERVER_COMPLETE=f"{shell}_source"
        )


def test_zsh_and_fish_are_offered_the_same_flags() -> None:
    typed = {"COMP_WORDS": "digits-server --max-b", "COMP_CWORD": "1"}
    assert "--max-batch-size" in run("digits-server", _DIGITS_SERVER_COMPLETE="zsh_complete", **typed)
    typed["COMP_CWORD"] = "--max-b"
    assert "--max-batch-size" in run("digits-server", _DIGITS_SERVER_COMPLETE="fish_complete", **typed)
