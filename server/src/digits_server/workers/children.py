"""Starts and reaps child processes, including orphans, which the first process of a container inherits."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence

STANDARD_ERROR = 2

CONTROL_FD = 3
"""The descriptor of the control socket in a child."""


class Children:
    """All children of this process. Lives on the event loop of the main thread."""

    def __init__(self) -> None:
        self._ends: dict[int, asyncio.Future[int]] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_signal_handler(signal.SIGCHLD, self._reap)

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], log_fd: int, control_fd: int
    ) -> "tuple[int, asyncio.Future[int]]":
        """Runs this Python with `arguments`; returns its PID and a future of its exit code (negative: a signal).

        The child gets the standard streams, with `log_fd` as standard error, and CONTROL_FD. It has its own process
        group, so a Ctrl-C for its parent does not reach it.
        """
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, *arguments],
            environment,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, log_fd, STANDARD_ERROR),
                (os.POSIX_SPAWN_DUP2, control_fd, CONTROL_FD),
            ],
            setpgroup=0,
        )
        self._ends[pid] = self._loop.create_future()
        return pid, self._ends[pid]

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if end := self._ends.pop(pid, None):
                end.set_result(os.waitstatus_to_exitcode(status))
