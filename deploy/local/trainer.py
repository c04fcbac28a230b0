"""The command `digits-train` with TensorFlow, from this environment or from a layer that is removed after training.

    python deploy/local/trainer.py     makes the layer: `make run` does so while it installs everything else

TensorFlow takes more space than everything else together, and only training needs it.
"""

import importlib.util
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

REQUIREMENTS = Path(__file__).parents[2] / "requirements"
LOCKED = "tensorflow.txt"
"""The lock file of the packages that only training needs."""

COMPILED_BESIDE = ("keras", "matplotlib")
"""Compiled to bytecode while TensorFlow is imported, which comes first and takes seconds."""


class CannotInstall(Exception):
    """TensorFlow could not be installed; the lines above say why."""


@contextmanager
def trainer() -> Iterator[list[str | Path]]:
    """The beginning of a command line that runs `digits-train`. Raises CannotInstall."""
    if importlib.util.find_spec("tensorflow"):
        yield [Path(sysconfig.get_path("scripts")) / "digits-train"]
        return
    with _folder() as folder:
        layer = folder / "layer"
        try:
            prepared().rename(layer)
        except FileNotFoundError:
            _install(layer, cache=folder / "cache")
        with _compiling(layer):
            yield [layer / "bin/python", "-m", "digits_training"]


def prepare() -> None:
    """Makes the layer that the next `trainer` takes, unless TensorFlow is installed here. Raises CannotInstall."""
    if importlib.util.find_spec("tensorflow"):
        return
    discard()
    with _folder() as folder:
        _install(folder / "layer", cache=folder / "cache")
        (folder / "layer").rename(prepared())


def discard() -> None:
    """Removes the prepared layer, if there is one."""
    shutil.rmtree(prepared(), ignore_errors=True)


def prepared() -> Path:
    return Path(sys.prefix) / "training"


@contextmanager
def _folder() -> Iterator[Path]:
    """A new folder in this environment. A thread removes it, because it has thousands of files."""
    folder = tempfile.TemporaryDirectory(prefix="training-", dir=sys.prefix, ignore_cleanup_errors=True)
    try:
        yield Path(folder.name)
    finally:
        Thread(target=folder.cleanup).start()


@contextmanager
def _compiling(layer: Path) -> Iterator[None]:
    packages = [path for name in COMPILED_BESIDE for path in layer.glob(f"lib/python3*/site-packages/{name}")]
    if not packages:  # without a folder, all of Python's would be meant
        yield
        return
    with subprocess.Popen([layer / "bin/python", "-m", "compileall", "-q", *packages]):
        yield


def _install(layer: Path, *, cache: Path) -> None:
    """Makes an environment with the packages that training needs; it finds all others in this environment."""
    print("Installing TensorFlow for the training; it is removed afterwards. `make install` keeps it.", flush=True)
    python = layer / "bin/python"
    install: list[str | Path] = [REQUIREMENTS / "install.sh", python, "--quiet", "--cache-dir", cache]
    commands: list[list[str | Path]] = [
        [sys.executable, "-m", "venv", "--without-pip", layer],
        [*install, "--require-hashes", "--no-deps", f"--requirement={REQUIREMENTS / LOCKED}"],
    ]
    for command in commands:
        if subprocess.run(command, check=False).returncode:
            raise CannotInstall("TensorFlow could not be installed; the lines above say why")
    (packages,) = layer.glob("lib/python3*/site-packages")
    rest = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    (packages / "running.pth").write_text(rest, encoding="utf-8")


if __name__ == "__main__":
    try:
        prepare()
    except CannotInstall as error:
        sys.exit(f"main job: {error}")
