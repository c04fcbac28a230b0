"""Which thread of this process goes first where they want the same core."""

import os
import sys
from contextlib import suppress
from pathlib import Path

READER = "wrk:worker_"
"""What Envoy calls its threads that read from callers."""

NICENESS = 4
"""By how much they give way to the event loop. Who is offered more than he can do should answer what he has before he
takes in more: else the calls of one connection pile up before the event loop, and everybody else's behind them."""


def answer_before_reading() -> None:
    """Lowers the priority of Envoy's reading threads; only Linux knows one of a single thread."""
    if sys.platform == "linux":
        niceness = os.getpriority(os.PRIO_PROCESS, 0) + NICENESS
        for task in Path("/proc/self/task").iterdir():
            with suppress(FileNotFoundError):  # a thread that has ended meanwhile
                if task.joinpath("comm").read_text().startswith(READER):
                    os.setpriority(os.PRIO_PROCESS, int(task.name), niceness)
