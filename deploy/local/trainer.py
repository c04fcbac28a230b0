"""The command `digits-train` with TensorFlow: of this environment, or of one that is removed after the training.

TensorFlow takes more room than everything else together, and only training needs it.
"""

import importlib.util
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "requirements"


class CannotInstall(Exception):
    """TensorFlow could not be installed; the lines above say why."""


@contextmanager
def trainer() -> Iterator[Path]:
    """Where `digits-train` is. Raises CannotInstall."""
    if importlib.util.find_spec("tensorflow"):
        yield Path(sysconfig.get_path("scripts")) / "digits-train"
        return
    print("Installing TensorFlow for the training; it is removed again after it. `make install` keeps it.", flush=True)
    with tempfile.TemporaryDirectory(prefix="training-", dir=sys.prefix, ignore_cleanup_errors=True) as folder:
        environment = Path(folder) / "environment"
        _install(environment, cache=Path(folder) / "cache")
        yield environment / "bin/digits-train"


def _install(environment: Path, *, cache: Path) -> None:
    """Makes an environment of what training needs, and of our packages as they are here."""
    python = environment / "bin/python"
    install: list[str | Path] = [REQUIREMENTS / "install.sh", python, "--quiet", "--cache-dir", cache]
    locked = [f"--requirement={REQUIREMENTS / name}" for name in ("training.txt", "build.txt")]
    ours = [f"--editable={ROOT / package}" for package in ("proto", "training")]
    commands: list[list[str | Path]] = [
        [sys.executable, "-m", "venv", "--without-pip", environment],
        [*install, "--require-hashes", *locked],
        [*install, "--no-deps", "--no-build-isolation", *ours],
    ]
    for command in commands:
        if subprocess.run(command, check=False).returncode:
            raise CannotInstall("TensorFlow could not be installed; the lines above say why")
