"""The scheduling policy of this process."""

import os
import sys
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
