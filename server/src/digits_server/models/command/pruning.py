"""`models prune`: removes old versions, each as a whole in one step."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from digits_server.errors import OperatorError
from digits_server.models.command.versions import Versions
from digits_server.system.regular_files import opened_folder

_REMOVED = ".removed-"


def prune(versions: Versions, keep: int, say: Callable[[str], None], *, dry_run: bool) -> None:
    """Removes every version below the newest `keep` good ones, and prints which; a dry run only prints them.

    The pinned, current, canary and shadow versions stay. So do versions that are newer than the oldest kept one.
    Raises OperatorError or OSError.
    """
    if dry_run:
        say("dry run, nothing is changed:")
        _say(say, removable(versions, keep))
        return
    removable(versions, keep)  # verifies the versions it needs before the lock is held
    with versions.pins.locked():
        removed = removable(versions, keep)
        if removed:
            _remove(versions.folder, removed)
    _say(say, removed)


def removable(versions: Versions, keep: int) -> list[int]:
    """The versions that `prune` removes, ascending. Raises OperatorError if no version is good."""
    rollout = versions.rollout(versions.pins.read())
    spared = {*rollout.versions, versions.current(rollout)}
    there = versions.every()
    good = 0
    for version in reversed(there):
        good += not versions.reason(version)
        if good == keep:
            return [each for each in there if each < version and each not in spared]
    if not good:
        raise OperatorError("no version is good, so no version is removed: `models list` says why")
    return []


def _remove(folder: Path, removed: list[int]) -> None:
    hidden = Path(tempfile.mkdtemp(prefix=_REMOVED, dir=folder))
    for version in removed:
        (folder / str(version)).rename(hidden / str(version))  # in one step: no reader sees half a version
    with opened_folder(folder) as opened:
        os.fsync(opened)
    for leftover in folder.glob(f"{_REMOVED}*"):  # also those of commands that were killed
        shutil.rmtree(leftover)


def _say(say: Callable[[str], None], removed: list[int]) -> None:
    for version in removed:
        say(f"version {version} is removed")
    if not removed:
        say("no version is removed")
