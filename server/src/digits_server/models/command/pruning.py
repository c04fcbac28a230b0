"""`models prune`: old versions are removed, each at once and whole."""

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
    """Removes every version below the newest `keep` good ones, and says which; or only says it.

    The ones that are pinned, current, canary and shadow stay, and so do those that are newer than what is kept.
    Raises OperatorError or OSError.
    """
    if dry_run:
        say("dry run, nothing is changed:")
        _say(say, removable(versions, keep))
        return
    removable(versions, keep)  # verifies what it must, while others can still change the repository
    with versions.pins.locked():
        removed = removable(versions, keep)
        if removed:
            _remove(versions.folder, removed)
    _say(say, removed)


def removable(versions: Versions, keep: int) -> list[int]:
    """What `prune` removes, ascending. Raises OperatorError when no version is good."""
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
        (folder / str(version)).rename(hidden / str(version))  # at once: nobody sees half a version
    with opened_folder(folder) as opened:
        os.fsync(opened)
    for leftover in folder.glob(f"{_REMOVED}*"):  # those of commands that were killed, too
        shutil.rmtree(leftover)


def _say(say: Callable[[str], None], removed: list[int]) -> None:
    for version in removed:
        say(f"version {version} is removed")
    if not removed:
        say("no version is removed")
