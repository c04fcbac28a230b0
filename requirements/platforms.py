"""Asks the package index which platforms have a wheel of every locked package; rewrites the table in docs/platforms.md.

    python requirements/platforms.py

Nothing is installed and nothing is built: uv resolves each lock as if it ran on the platform.
"""

import datetime as dt
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).parent
PAGE = FOLDER.parent / "docs/platforms.md"
BEGIN, END = "<!-- wheels: begin (python requirements/platforms.py) -->", "<!-- wheels: end -->"
TIME_LIMIT = 120.0  # seconds, for one platform
PYTHONS = ("3.11", "3.12", "3.13")
CLIENT_PYTHONS = ("3.10", *PYTHONS, "3.14")

PLATFORMS: Mapping[str, tuple[str, str]] = {
    "Linux x86-64, glibc 2.31 or later": ("x86_64-manylinux_2_31", ""),
    "Linux ARM64, glibc 2.31 or later": ("aarch64-manylinux_2_31", ""),
    "Linux x86-64, musl (Alpine)": ("x86_64-unknown-linux-musl", ""),
    "macOS 15 or later, Apple silicon": ("aarch64-apple-darwin", "15.0"),
    "macOS 13, Apple silicon": ("aarch64-apple-darwin", "13.0"),
    "macOS 15, Intel": ("x86_64-apple-darwin", "15.0"),
    "Windows, x86-64": ("x86_64-pc-windows-msvc", ""),
}
"""uv's name of each platform, and the release of macOS."""

INSTALLED: Mapping[str, tuple[str, ...]] = {
    "client": ("grpcio>=1.68,<2", "numpy>=1.26,<3", "protobuf>=4.25,<8", "protobuf>=5.27; python_version >= '3.14'"),
    "server": ("--require-hashes", f"--requirement={FOLDER / 'server.txt'}"),
    "training": ("--require-hashes", f"--requirement={FOLDER / 'training.txt'}"),
    "`make install`": ("--require-hashes", f"--requirement={FOLDER / 'dev.txt'}"),
}
"""What is installed, by column of the table."""


def missing(what: tuple[str, ...], platform: str, release: str, python: str) -> str:
    """The first package without a wheel, empty if there is none. Raises RuntimeError when uv fails otherwise."""
    uv = str(Path(sys.executable).parent / "uv")
    with tempfile.TemporaryDirectory() as target:
        command = [uv, "pip", "install", "--dry-run", "--only-binary=:all:", f"--target={target}"]
        done = subprocess.run(
            [*command, f"--python-platform={platform}", f"--python-version={python}", *what],
            env={**os.environ, **({"MACOSX_DEPLOYMENT_TARGET": release} if release else {})},
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT,
            check=False,
        )
    return package_without_wheel(done.stderr) if done.returncode else ""


def package_without_wheel(message: str) -> str:
    """The package that uv's error names. Raises RuntimeError when the error is another one."""
    found = re.search(r"Because (\S+)==\S+\s+has\s+no\s+(?:usable\s+)?wheels", message)
    if not found:
        raise RuntimeError(message.strip())
    return found[1]


def pythons(part: str) -> tuple[str, ...]:
    """The Pythons that a column of the table is about."""
    return CLIENT_PYTHONS if part == "client" else PYTHONS


def cell(missing_by_python: Mapping[str, str]) -> str:
    """What a table says: every wheel is there, or which is missing for which Python."""
    lacking = {python: name for python, name in missing_by_python.items() if name}
    if not lacking:
        return "every wheel"
    if len(lacking) == len(missing_by_python) and len(set(lacking.values())) == 1:
        return f"no `{next(iter(lacking.values()))}`"
    return ", ".join(f"no `{name}` for {python}" for python, name in lacking.items())


def table() -> list[str]:
    lines = [f"| | {' | '.join(INSTALLED)} |", f"|---|{'---|' * len(INSTALLED)}"]
    for name, (platform, release) in PLATFORMS.items():
        cells = (
            cell({python: missing(what, platform, release, python) for python in pythons(part)})
            for part, what in INSTALLED.items()
        )
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    ends = f"{CLIENT_PYTHONS[0]} to {CLIENT_PYTHONS[-1]}"
    asked = f"Asked {dt.datetime.now(dt.UTC):%Y-%m-%d}, for Python {', '.join(PYTHONS)}, and the client for {ends}:"
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text("\n".join([f"{before}{BEGIN}\n\n{asked}\n", *table(), f"\n{END}{after}"]), encoding="utf-8")


if __name__ == "__main__":
    main()
