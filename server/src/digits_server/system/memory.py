"""Returns memory to the system after a burst: the C library keeps freed memory in its heaps."""

import asyncio
import ctypes
import gc
import os
import sys
from pathlib import Path
from time import process_time

from digits_server.system.background_thread import BackgroundThread

LOOK_SECONDS = 5.0
"""Time between two measurements of the process's memory."""

LONGEST_SECONDS = 300.0
"""Longest pause after attempts that freed no memory because it is in use."""

BURST_BYTES = 32 * 1024 * 1024
"""Memory is returned only if the process uses this much more than its minimum."""

IDLE_SHARE = 0.5
"""Share of one core: a process that uses more is not idle."""


LARGE_BYTES = 1024 * 1024
"""Blocks from this size on go back to the system as soon as they are freed."""

KEPT_BYTES = 2 * LARGE_BYTES
"""Free memory that glibc may keep at the end of its heap. With less, it would return the memory of each piece of a
large message, and request it again for the next piece."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of mallopt(3)."""


def return_large_blocks() -> None:
    """Makes glibc request each large block from the system separately; does nothing with another C library.

    Otherwise glibc adapts to the sizes that it has seen, and keeps their memory in its heaps, in pieces.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option:
        set_option(M_MMAP_THRESHOLD, LARGE_BYTES)
        set_option(M_TRIM_THRESHOLD, KEPT_BYTES)


def release_memory() -> None:
    """Returns freed memory in glibc's heaps to the system; does nothing with another C library."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)


def postpone_collections() -> None:
    """Lets no garbage collection run until `freeze_objects`: importing makes many objects, and next to no garbage."""
    gc.disable()


def freeze_objects() -> None:
    """Takes the objects that exist now, modules above all, out of all further garbage collections.

    They live as long as the process. To visit each of them took 20 ms, in which nothing else ran.
    """
    gc.freeze()
    gc.enable()


async def give_back_when_idle() -> None:
    """Measures memory from time to time, and returns it after a burst. Ends at once if it cannot be measured."""
    if sys.platform != "linux":
        return
    try:
        resident()
    except (OSError, ValueError, IndexError):  # no /proc, or one in another format
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
    """Bytes of memory that the process has now."""
    return int(Path("/proc/self/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
