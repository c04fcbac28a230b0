"""A version appears in the model repository complete or not at all.

It is written to a hidden folder beside the versions, synced to disk, and renamed to the next number. A run that is
killed leaves its hidden folder, but its lock on the folder ends with it: the next run sees that and removes the folder.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_INCOMING = ".incoming-"


def versions(model: Path) -> list[int]:
    """The published versions below the model's folder, ascending: every folder named by a positive integer."""
    if not model.is_dir():
        return []
    return sorted(int(path.name) for path in model.iterdir() if _is_version(path.name) and path.is_dir())


@contextmanager
def staging(model: Path) -> Iterator[Path]:
    """A new hidden folder beside the versions, for the files of the next one; removed afterwards unless published."""
    model.mkdir(parents=True, exist_ok=True)
    with _locked(model):  # so that no run cleans up between the mkdtemp and the lock of another
        _remove_leftovers(model)
        incoming = Path(tempfile.mkdtemp(prefix=_INCOMING, dir=model))
        alive = os.open(incoming, os.O_RDONLY)
        fcntl.flock(alive, fcntl.LOCK_EX)
    try:
        incoming.chmod(0o755)  # mkdtemp makes it private, and the server may run as another user
        yield incoming
    finally:
        shutil.rmtree(incoming, ignore_errors=True)  # if published, this name no longer exists
        os.close(alive)


def publish(incoming: Path, write_manifest: Callable[[Path, int], None]) -> int:
    """Renames `incoming` to the next free version, durably, and returns the version.

    `write_manifest(incoming, version)` is called with the number, and again if another run takes that number first.
    """
    model = incoming.parent
    version = max(versions(model), default=0) + 1
    while True:
        write_manifest(incoming, version)
        _make_durable(incoming)
        try:
            incoming.rename(model / str(version))
        except OSError:
            if not (model / str(version)).exists():
                raise
            version += 1
        else:
            _sync(model)
            return version


def _make_durable(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        path.chmod(0o755 if path.is_dir() else 0o644)
        _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_leftovers(model: Path) -> None:
    for path in model.glob(f"{_INCOMING}*"):
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue  # published meanwhile
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue  # its run is alive
        else:
            shutil.rmtree(path, ignore_errors=True)  # by its hidden name: a published version no longer has it
        finally:
            os.close(descriptor)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _is_version(name: str) -> bool:
    return name.isascii() and name.isdigit() and not name.startswith("0")
