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
from threading import Thread

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "requirements"
LOCKED = ("training.txt", "build.txt")
"""What is installed for the training, and to install our own packages."""


class CannotInstall(Exception):
    """TensorFlow could not be installed; the lines above say why."""


@contextmanager
def trainer() -> Iterator[Path]:
    """Where `digits-train` is. Raises CannotInstall."""
    if importlib.util.find_spec("tensorflow"):
        yield Path(sysconfig.get_path("scripts")) / "digits-train"
        return
    print("Installing TensorFlow for the training; it is removed again after it. `make install` keeps it.", flush=True)
    folder = tempfile.TemporaryDirectory(prefix="training-", dir=sys.prefix, ignore_cleanup_errors=True)
    try:
        environment = Path(folder.name) / "environment"
        _install(environment, cache=Path(folder.name) / "cache")
        yield environment / "bin/digits-train"
    finally:
        Thread(target=folder.cleanup).start()  # thousands of files: the server need not wait for that


def _install(environment: Path, *, cache: Path) -> None:
    """Makes an environment of what training needs, and of our packages as they are here."""
    python = environment / "bin/python"
    install: list[str | Path] = [REQUIREMENTS / "install.sh", python, "--quiet", "--cache-dir", cache]
    locked = [f"--requirement={REQUIREMENTS / name}" for name in LOCKED]
    ours = [f"--editable={ROOT / package}" for package in ("proto", "training")]
    commands: list[list[str | Path]] = [
        [sys.executable, "-m", "venv", "--without-pip", environment],
        [*install, "--require-hashes", *locked],
        [*install, "--no-deps", "--no-build-isolation", *ours],
    ]
    for command in commands:
        if subprocess.run(command, check=False).returncode:
            raise CannotInstall("TensorFlow could not be installed; the lines above say why")
