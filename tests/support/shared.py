"""Folders that the processes of one parallel test run make once and share."""

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that `make` has filled, made by the first process of this run that asks; the others wait for it."""
    base = factory.getbasetemp()
    root = base.parent if base.name.startswith("popen-") else base
    folder, complete = root / f"shared-{name}", root / f"shared-{name}.complete"
    with (root / f"shared-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)  # the rest of a failed attempt
            folder.mkdir()
            make(folder)
            complete.touch()
    return folder
