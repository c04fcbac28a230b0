"""What the kernel says one process takes: memory, descriptors, threads (proc(5))."""

import os
from dataclasses import dataclass
from pathlib import Path

MIB = 1024


@dataclass(frozen=True)
class Usage:
    """The resources of the process `pid`, as they are when asked for."""

    pid: int

    @property
    def resident(self) -> float:
        """Resident memory, MiB."""
        return self._status("VmRSS") / MIB

    @property
    def peak(self) -> float:
        """The most of it since `forget_peak`, MiB."""
        return self._status("VmHWM") / MIB

    def forget_peak(self) -> None:
        self._file("clear_refs").write_text("5")

    @property
    def descriptors(self) -> int:
        return len(list(self._file("fd").iterdir()))

    @property
    def threads(self) -> int:
        return self._status("Threads")

    def pin(self, core: int) -> None:
        """Keeps every thread there is on `core`."""
        for thread in self._file("task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})

    def _status(self, name: str) -> int:
        for line in self._file("status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1])
        raise AssertionError(f"the kernel says nothing of {name}")

    def _file(self, name: str) -> Path:
        return Path(f"/proc/{self.pid}", name)
