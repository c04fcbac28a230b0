"""Data about processes from the kernel (proc(5)): their children and their connections."""

from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
ESTABLISHED = "01"


def children(pid: int) -> set[int]:
    """The PIDs of the processes that `pid` has started and not yet reaped."""
    return {int(child) for child in (PROC / f"{pid}/task/{pid}/children").read_text().split()}


def lives(pid: int) -> bool:
    """Whether the process runs: it exists, and is not a zombie."""
    try:
        return (PROC / f"{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def connections(pid: int, port: int) -> int:
    """How many TCP connections to its `port` the process has accepted."""
    mine = set()
    for file in (PROC / f"{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            mine.add(file.readlink().name)
    found = 0
    for table in ("tcp", "tcp6"):  # a socket that takes both is in the latter
        for line in (PROC / f"{pid}/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            to_port = int(local.rpartition(":")[2], 16) == port
            found += to_port and state == ESTABLISHED and f"socket:[{inode}]" in mine
    return found
