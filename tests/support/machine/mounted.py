"""Folders shown through a test volume, which answers until a test stops it."""

import ctypes
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from support.needs import need_root

START_SECONDS = 30.0
MNT_FORCE, MNT_DETACH = 1, 2


class Mounted:
    """`folder`, shown at `path` while the context lasts. Nothing but the server under test should look there."""

    def __init__(self, path: Path, folder: Path, *, restless: bool = False) -> None:
        need_root()
        path.mkdir()
        self.path = path
        self.read: list[str] = []
        """Names of the files that were read there, in their order."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.machine.volume", path, folder, *(["--restless"] if restless else [])],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        assert self._lines.get(timeout=START_SECONDS) == "mounted"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()  # requests that still wait get an error
        self._process.wait()
        ctypes.CDLL(None).umount2(os.fsencode(self.path), MNT_FORCE | MNT_DETACH)
        assert self._process.stdout
        self._process.stdout.close()

    def fall_silent(self) -> None:
        """From now on no request is answered."""
        self._process.send_signal(signal.SIGUSR1)
        assert self._lines.get(timeout=START_SECONDS) == "silent"

    def fail(self) -> None:
        """From now on no file can be read."""
        self._process.send_signal(signal.SIGHUP)
        assert self._lines.get(timeout=START_SECONDS) == "failing"

    def speak(self) -> None:
        """From now on all requests are answered again, also those that wait."""
        self._process.send_signal(signal.SIGUSR2)

    def _listen(self) -> None:
        assert self._process.stdout
        try:
            for line in self._process.stdout:
                if line in ("mounted\n", "silent\n", "failing\n"):
                    self._lines.put(line.strip())
                else:
                    self.read.append(line.strip())
            self._lines.put("ended")
        except ValueError:  # closed
            return
