"""How much memory the system lets this process have."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path("/")


def allowed(root: Path = ROOT) -> int:
    """Bytes: those of the narrowest control group around the process (cgroups(7), of either version), or the machine's.

    root  where /proc and /sys are
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    said = (file.read_text().strip() for file in _limits(root) if file.exists())
    return min([machine, *(int(limit) for limit in said if limit != "max")])


def _limits(root: Path) -> Iterator[Path]:
    """Where the limits of this process may be, of its own group and of those around it.

    Within a container the group's path may be the one it has outside; then the file is at the top.
    """
    groups = root / "proc/self/cgroup"
    for line in groups.read_text().splitlines() if groups.exists() else ():
        _, controllers, path = line.split(":", 2)
        for group in (PurePosixPath(path), *PurePosixPath(path).parents):
            below = group.relative_to("/")
            if not controllers:
                yield root / "sys/fs/cgroup" / below / "memory.max"
            elif "memory" in controllers.split(","):
                yield root / "sys/fs/cgroup/memory" / below / "memory.limit_in_bytes"
