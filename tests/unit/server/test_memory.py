"""What the system lets a process have: read where it says so, on either version of control groups."""

import os
from pathlib import Path

import pytest

from digits_server.memory import allowed

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
MIB = 1024 * 1024
VERSION_1, VERSION_2 = "sys/fs/cgroup/memory", "sys/fs/cgroup"


def system(root: Path, groups: str, limits: dict[str, str]) -> Path:
    """A file system that says so of the process's groups, and of their limits."""
    for name, text in {"proc/self/cgroup": groups, **limits}.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    return root


@pytest.mark.parametrize(
    ("groups", "limits", "expected"),
    [
        ("0::/", {f"{VERSION_2}/memory.max": str(512 * MIB)}, 512 * MIB),
        ("0::/", {f"{VERSION_2}/memory.max": "max"}, MACHINE),
        ("0::/a/b", {f"{VERSION_2}/a/b/memory.max": "max", f"{VERSION_2}/a/memory.max": str(64 * MIB)}, 64 * MIB),
        ("0::/outside/the/container", {f"{VERSION_2}/memory.max": str(256 * MIB)}, 256 * MIB),
        ("4:memory:/a\n3:cpu,cpuacct:/b", {f"{VERSION_1}/a/memory.limit_in_bytes": str(128 * MIB)}, 128 * MIB),
        ("4:memory:/a", {f"{VERSION_1}/memory.limit_in_bytes": "9223372036854771712"}, MACHINE),
        ("3:cpu:/b", {f"{VERSION_1}/b/memory.limit_in_bytes": str(128 * MIB)}, MACHINE),
    ],
)
def test_the_narrowest_limit_counts(tmp_path: Path, groups: str, limits: dict[str, str], expected: int) -> None:
    assert allowed(system(tmp_path, groups, limits)) == expected


def test_without_control_groups_it_is_the_machine(tmp_path: Path) -> None:
    assert allowed(tmp_path) == MACHINE
