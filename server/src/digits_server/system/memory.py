"""Memory that freed objects leave in the C library's heaps goes back to the system after a burst."""

import asyncio
import ctypes
import os
import sys
from pathlib import Path
from time import process_time

from digits_server.system.background_thread import BackgroundThread

LOOK_SECONDS = 5.0
"""Between two looks at how much memory the process has."""

LONGEST_SECONDS = 300.0
"""Between two attempts that gave nothing back: what is held then is in use."""

BURST_BYTES = 32 * 1024 * 1024
"""Above the least that the process had, from which on giving memory back is worth its while."""

IDLE_SHARE = 0.5
"""Of one core: a process that uses more has other things to do."""


LARGE_BYTES = 1024 * 1024
"""Blocks from this size on go back to the system as soon as they are freed."""

M_MMAP_THRESHOLD = -3
"""Of mallopt(3)."""


def return_large_blocks() -> None:
    """Has the C library take large blocks from the system one by one; nothing where it is not glibc.

    Otherwise it takes the size of those it has seen for usual, and keeps their memory in heaps, in pieces.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option:
        set_option(M_MMAP_THRESHOLD, LARGE_BYTES)


def release_memory() -> None:
    """Gives the system back what freed objects leave in the C library's heaps; nothing where that is not glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)


async def give_back_when_idle() -> None:
    """Looks now and then, and gives memory back when a burst is over. Returns where that cannot be known."""
    if sys.platform != "linux":
        return
    try:
        resident()
    except (OSError, ValueError, IndexError):  # there is no /proc, or another system's
        return
    thread = BackgroundThread("memory")
    least, before, busy, pause = resident(), resident(), process_time(), LOOK_SECONDS
    try:
        while True:
            await asyncio.sleep(pause)
            now, busy_before = resident(), busy
            busy = process_time()
            idle = busy - busy_before < IDLE_SHARE * pause
            waited, pause = pause, LOOK_SECONDS
            if idle and now > least + BURST_BYTES and now <= before + BURST_BYTES // 8:
                await thread.run(release_memory)
                futile = resident() > now - BURST_BYTES // 8
                pause = min(2 * waited, LONGEST_SECONDS) if futile else LOOK_SECONDS
            before = resident()
            least = min(least, before)
    finally:
        await thread.close()


def resident() -> int:
    """Bytes of memory the process has now."""
    return int(Path("/proc/self/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
