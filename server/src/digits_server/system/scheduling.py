"""The scheduling policy of this process, and the priorities of its threads."""

import os
import sys
import threading
from contextlib import suppress


def work_in_batches() -> None:
    """Sets SCHED_BATCH (sched(7)): a thread that becomes ready does not interrupt a running one.

    Threads that read, compute and answer then pass on their work in larger pieces, which takes less CPU for each call.
    Call it before threads are started: they inherit it, as do child programs. Does nothing if the system has no such
    policy, or does not allow it.
    """
    if sys.platform == "linux":
        with suppress(OSError):  # some sandboxes reject the call, or do not know it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def lower_priority(niceness: int) -> None:
    """Lowers the priority of the current thread by `niceness` steps (nice(2)), to at most 19.

    Does nothing if the system does not allow it. Only Linux has a priority for each thread; elsewhere nothing changes.
    """
    if sys.platform == "linux":
        with suppress(OSError):  # some sandboxes reject the call
            thread = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + niceness)
