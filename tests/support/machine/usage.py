"""Resources of processes, from the kernel: memory, descriptors, threads (proc(5))."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MIB = 1024


@dataclass(frozen=True)
class Usage:
    """The present resources of the process `pid`."""

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
        """Keeps every thread of the process on `core`."""
        for thread in self._file("task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})

    def _status(self, name: str) -> int:
        for line in self._file("status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1])
        raise AssertionError(f"the kernel says nothing of {name}")

    def _file(self, name: str) -> Path:
        return Path(f"/proc/{self.pid}", name)


class Usages:
    """The resources of several processes that serve together, by name. All figures are sums."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._each = {name: Usage(pid) for name, pid in pids.items()}
        self._before = dict.fromkeys(pids, 0.0)

    @property
    def descriptors(self) -> int:
        return sum(each.descriptors for each in self._each.values())

    @property
    def peak(self) -> float:
        """MiB, the most of each since `remember`."""
        return sum(each.peak for each in self._each.values())

    def pin(self, core: int) -> None:
        for each in self._each.values():
            each.pin(core)

    def remember(self) -> None:
        """Sets the start from which `growth` is counted."""
        for each in self._each.values():
            each.forget_peak()
        self._before = {name: each.resident for name, each in self._each.items()}

    def growth(self) -> dict[str, float]:
        """MiB that each process has grown by at most since `remember`."""
        return {name: max(0.0, each.peak - self._before[name]) for name, each in self._each.items()}


def as_text(growth: Mapping[str, float]) -> str:
    """Such as "+ 8 MiB", or "+ 8 MiB, Envoy + 3" if there are other processes besides the server."""
    server, *others = growth.items()
    return f"+ {server[1]:.0f} MiB" + "".join(f", {name} + {grown:.0f}" for name, grown in others)
