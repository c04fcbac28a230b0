"""The examples on the pages can be run: Python and JSON are valid, targets of make and flags of our commands exist."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from support.public_names import LIST

from digits_server.models.command.group import models

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")] + sorted(ROOT.glob("docs/**/*.md"))
PAGES = [
    page for page in PAGES if not {"site", ".venv", "node_modules", "decisions"} & set(page.relative_to(ROOT).parts)
]
NAMES = json.loads(LIST.read_text())
EVERYWHERE = {"--help", "--version", "--traceback", "--check", "--print-config"}
"""Flags of a command itself, which are not in the list."""

MODELS_FLAGS = {
    option
    for command in models.commands.values()
    for parameter in command.params
    if isinstance(parameter, click.Option)
    for option in (*parameter.opts, *parameter.secondary_opts)
}
"""Of `digits-server models …`."""

FLAGS = {
    "digits-server": set(NAMES["digits-server"]) | MODELS_FLAGS,
    "digits-train": {flag for flags in NAMES["digits-train"].values() for flag in flags},
    "digits": {flag for flags in NAMES["digits"].values() for flag in flags},
}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def commands(page: Path) -> Iterator[str]:
    """The lines that a reader may type: indented lines, lines of blocks, and code in backticks."""
    text = re.sub(r"\\\n\s*", " ", page.read_text())
    yield from (line.strip().removeprefix("$ ") for line in text.splitlines() if line.startswith("    "))
    for _, block in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        yield from (line.strip().removeprefix("$ ") for line in block.splitlines())
    yield from re.findall(r"`([^`\n]+)`", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_and_json_are_well_formed(page: Path) -> None:
    for block in blocks(page, "python"):
        ast.parse(block)
    for block in blocks(page, "json"):
        json.loads(block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_target_of_make_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {target for line in commands(page) if (target := re.match(r"make ([a-z-]+)", line))}
    assert {match[1] for match in named} <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_flag_of_a_command_of_ours_exists(page: Path) -> None:
    for line in commands(page):
        for part in re.split(r"[;|&]+ ", line):
            program = re.match(r"(?:\S*/)?(digits-server|digits-train|digits) ", part)
            if program:
                flags = set(re.findall(r"(?<=\s)--[a-z][a-z-]+", part.partition("  #")[0]))
                known = FLAGS[program[1]] | EVERYWHERE
                assert {flag for flag in flags if flag.replace("--no-", "--", 1) not in known} - known == set(), line
