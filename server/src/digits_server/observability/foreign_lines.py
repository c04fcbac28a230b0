"""Turns the lines that C libraries write to standard error into log records, so that each line of a JSON log is JSON.

LiteRT and gRPC write there directly. Python's own output bypasses this module and goes to the original standard error.
"""

import atexit
import io
import logging
import os
import sys
import threading
from collections.abc import Iterable
from time import monotonic

from digits_server.observability.logs import visible

MAX_LINES, SECONDS = 10, 10.0
"""Most lines in this many seconds. Further lines are only counted, because callers can cause some of them."""

MAX_LINE_CHARACTERS = 1000
CLOSE_SECONDS = 1.0

log = logging.getLogger("native")


def take_over() -> None:
    """From now on, logs every line that is written to descriptor 2. Call it before `logs.configure`."""
    direct = os.dup(2)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)  # if a library writes faster than this thread reads, it loses lines but never waits
    os.dup2(writing, 2)
    os.close(writing)
    # Without a buffer: output that a full disk rejects would be written again at the exit, and make the process fail.
    plain = io.FileIO(direct, "w")
    sys.stderr = io.TextIOWrapper(plain, encoding="utf-8", errors="backslashreplace", write_through=True)
    sys.excepthook = lambda kind, error, at: log.critical("the server failed", exc_info=(kind, error, at))
    lines = os.fdopen(reading, encoding="utf-8", errors="replace")
    thread = threading.Thread(target=_relay, args=(lines,), name="foreign lines", daemon=True)
    thread.start()

    def give_back() -> None:
        os.dup2(direct, 2)
        thread.join(CLOSE_SECONDS)

    atexit.register(give_back)


def _relay(lines: Iterable[str]) -> None:
    began, said, left_out = -SECONDS, 0, 0
    for line in lines:
        now = monotonic()
        if now - began >= SECONDS:
            if left_out:
                log.warning("%d further lines of libraries were left out", left_out)
            began, said, left_out = now, 0, 0
        if said < MAX_LINES:
            said += 1
            if text := visible(line.strip()[:MAX_LINE_CHARACTERS]):
                log.log(logging.INFO if text.startswith("INFO:") else logging.WARNING, text)
        else:
            left_out += 1
