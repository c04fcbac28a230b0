"""Who runs where: servers and load generators do not share a core."""

import os
from collections.abc import Sequence
from pathlib import Path


def on_cores(cores: str, command: Sequence[str | Path]) -> list[str]:
    """The command, kept to a CPU list ("0", "0-1", "0,2") together with all its descendants."""
    return ["taskset", "--cpu-list", cores, *map(str, command)]


def move_to(cores: str) -> None:
    """Keeps this process, and what it starts from here on, to a CPU list."""
    os.sched_setaffinity(0, numbers(cores))


def numbers(cores: str) -> set[int]:
    """The cores of a CPU list."""
    spans = [span.split("-") for span in cores.split(",")]
    return {core for span in spans for core in range(int(span[0]), int(span[-1]) + 1)}
