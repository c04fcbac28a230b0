"""What a process and all its descendants use, read from /proc (proc(5))."""

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")  # per second


@dataclass(frozen=True)
class Stat:
    """A line of /proc/PID/stat, as far as it is used here."""

    parent: int
    session: int
    cpu_seconds: float
    """User and system time."""


def parse_stat(line: str) -> Stat:
    # The command's name may hold spaces and parentheses: fields are counted after the last one.
    fields = line.rpartition(")")[2].split()
    return Stat(int(fields[1]), int(fields[3]), (int(fields[11]) + int(fields[12])) / TICKS)


def family(root: int) -> dict[int, Stat]:
    """`root`, its descendants, and all others of its session: a daemon's children lose their parent."""
    everyone: dict[int, Stat] = {}
    for folder in PROC.iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):  # it ended meanwhile
                everyone[int(folder.name)] = parse_stat((folder / "stat").read_text())
    members = {pid for pid, stat in everyone.items() if root in (pid, stat.session)}
    grown = True
    while grown:
        children = {pid for pid, stat in everyone.items() if stat.parent in members} - members
        members |= children
        grown = bool(children)
    return {pid: everyone[pid] for pid in members}


def cpu_seconds(root: int) -> float:
    return sum(stat.cpu_seconds for stat in family(root).values())


@dataclass(frozen=True)
class Memory:
    """MB, 2²⁰ bytes. `rss` counts a page shared by two processes twice, `pss` once."""

    rss: float
    pss: float


def memory(root: int) -> Memory:
    rss = pss = 0
    for pid in family(root):
        with contextlib.suppress(OSError):
            rollup = (PROC / str(pid) / "smaps_rollup").read_text()
            rss += _kilobytes("Rss", rollup)
            pss += _kilobytes("Pss", rollup)
    return Memory(rss / 1024, pss / 1024)


def _kilobytes(name: str, rollup: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", rollup, re.MULTILINE)
    return int(found[1]) if found else 0
