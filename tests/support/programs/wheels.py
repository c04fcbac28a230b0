"""The four wheels, and environments that contain only some of them."""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGES = ("proto", "training", "server", "client")
MINORS = range(10, 15)
"""The minor versions of Python 3 that the client and the stubs are for."""

SECONDS = 280.0
"""Deadline of one build or installation, which may download packages."""


def build(folder: Path) -> dict[str, Path]:
    """Builds every wheel into `folder`: package → wheel."""
    pip: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        folder,
    ]
    pip += [ROOT / package for package in PACKAGES]
    subprocess.run(pip, check=True, timeout=SECONDS)
    return {package: next(folder.glob(f"digits_{package}-*.whl")) for package in PACKAGES}


def install(python: Path, *arguments: str | Path) -> str:
    """Installs into the environment of `python`; returns uv's output."""
    command: list[str | Path] = [ROOT / "requirements/install.sh", python, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def environment(folder: Path, interpreter: Path) -> Path:
    """Makes an empty environment; returns its Python."""
    uv = Path(sys.executable).parent / "uv"
    command: list[str | Path] = [uv, "venv", "--quiet", "--no-python-downloads", "--python", interpreter, folder]
    subprocess.run(command, check=True, timeout=SECONDS)
    return folder / "bin/python"


def interpreters(minors: Iterable[int] = MINORS) -> Iterator[tuple[int, Path]]:
    """The Pythons of this machine that the client supports, in the order of `minors`: minor version and path.

    Each is started when the iterator gets there, to see that it runs.
    """
    for minor in minors:
        if python := _interpreter(minor):
            yield minor, python


@functools.cache
def _interpreter(minor: int) -> Path | None:
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    known = [Path(sys.executable)] if sys.version_info[1] == minor else []
    known += [*pyenv.glob(f"versions/3.{minor}.*/bin/python")]
    known += [Path(path)] if (path := shutil.which(f"python3.{minor}")) else []
    return next((path for path in known if _runs(path, minor)), None)


def _runs(python: Path, minor: int) -> bool:
    asked: list[str | Path] = [python, "-c", "import sys, venv; print(sys.version_info[1])"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=SECONDS, check=False)
    return done.stdout.strip() == str(minor)
