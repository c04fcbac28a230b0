"""The state of an interrupted run, so that the next start resumes it.

It is one file, written under another name and then renamed: however the run ends, the file has the last complete state.
Its name is a hash of everything that decides the weights, including the code of this package, so a run never resumes
from the state of another run.
"""

import fcntl
import hashlib
import json
import os
import tempfile
import time
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


@dataclass
class Progress:
    """The progress of a run: complete epochs, and images of the current epoch with the sums of their figures."""

    epoch: int = 0
    images: int = 0
    loss_sum: float = 0.0  # nats
    right: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


def fingerprint(*decisive: Any) -> str:
    """64 hexadecimal digits that differ when any of these JSON values does."""
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def source_checksum(package: Path = Path(__file__).parents[1]) -> str:
    """64 hexadecimal digits that differ when any Python file of this package does."""
    files = sorted(package.rglob("*.py"))
    return fingerprint([[path.relative_to(package).as_posix(), path.read_text(encoding="utf-8")] for path in files])


class Checkpoint:
    """The only checkpoint of a run, in `directory`, which is created when it is first needed."""

    def __init__(self, directory: Path, run: str) -> None:
        self._path = directory / f"{run}.npz"
        self._incoming = f".incoming-{run[:16]}-"  # the start of the file's name while it is written
        self._saved_at = time.monotonic()

    @property
    def age_seconds(self) -> float:
        """Time since the state was last saved, or since the start."""
        return time.monotonic() - self._saved_at

    def save(self, state: list[Any], progress: Progress) -> None:
        """Writes the values of `state` (TensorFlow or Keras variables) and the progress, durably."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {f"variable_{index}": np.asarray(variable) for index, variable in enumerate(state)}
        descriptor, name = tempfile.mkstemp(prefix=self._incoming, suffix=".npz", dir=self._path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)  # shows that this process is alive; see _remove_leftovers
                np.savez(file, allow_pickle=False, progress=json.dumps(asdict(progress)), **arrays)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            self._remove_folder_if_empty()
            raise
        self._saved_at = time.monotonic()

    def restore(self, state: list[Any]) -> Progress | None:
        """Puts the saved values into `state`; None, with `state` unchanged, if there is no valid checkpoint."""
        try:
            with self._path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
                progress = Progress(**json.loads(str(saved["progress"])))
                arrays = [saved[f"variable_{index}"] for index in range(len(state))]
        except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
            return None
        if any(array.shape != tuple(variable.shape) for array, variable in zip(arrays, state, strict=True)):
            return None
        for array, variable in zip(arrays, state, strict=True):
            variable.assign(array)
        return progress

    def remove(self) -> None:
        """Removes the checkpoint, and the folder if it is empty then."""
        self._path.unlink(missing_ok=True)
        self._remove_leftovers()
        self._remove_folder_if_empty()

    def _remove_leftovers(self) -> None:
        """Removes files of killed processes of the same run. A living process holds a lock on its file."""
        for path in self._path.parent.glob(f"{self._incoming}*"):
            try:
                with path.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
            except (BlockingIOError, FileNotFoundError):
                continue  # still being written, or just renamed

    def _remove_folder_if_empty(self) -> None:
        try:
            self._path.parent.rmdir()
        except OSError:
            return  # it has the checkpoint of another run, or does not exist
