"""How the system's scheduler treats this process."""

import os
import sys
from contextlib import suppress


def work_in_batches() -> None:
    """No thread of this process interrupts another as soon as it has something to do; nor does it interrupt others.

    (sched(7), SCHED_BATCH.) Those that read, compute and answer pass their work on in larger pieces then, which takes
    less of the processor for each call. To be called before there are threads: they, and what this process executes,
    inherit it. Nothing where the system has no such policy, or does not allow it.
    """
    if sys.platform == "linux":
        with suppress(OSError):  # some sandboxes know the call and refuse it, or do not know it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
