"""Work beside the calls that are answered: one thread that yields to them."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

NICENESS = 10
"""Of 19: such a thread gets a tenth of a busy core. Less would let it starve while it holds Python's lock."""

SWITCH_SECONDS = 0.0005
"""How long it may keep Python's lock from the event loop, once asked for it; Python's own 5 ms are longer than most
requests take."""


def background_thread(name: str) -> ThreadPoolExecutor:
    """An executor of one thread of low priority."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix=name, initializer=yield_to_calls)


def yield_to_calls() -> None:
    """Makes the current thread one of low priority, and has all threads share Python's lock in short turns."""
    sys.setswitchinterval(SWITCH_SECONDS)
    if sys.platform == "linux":  # elsewhere the priority is the process's, not the thread's
        with suppress(OSError):  # some sandboxes refuse it: the thread then works at the usual priority
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
