"""How many files and connections the process may have open."""

import logging
import resource

SPARE = 256
"""Beside connections: models, listeners, event loops, threads, log."""

log = logging.getLogger(__name__)


def allow(connections: int) -> None:
    """Raises the limit of this process, and of those it becomes, to what so many connections need.

    As far as the system lets it: what is missing is said in the log, for then connections wait or fail before the
    server's own limits are reached.
    """
    wanted = connections + SPARE
    try:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    except OSError:
        return
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    except (OSError, ValueError):  # a sandbox may refuse what the limits allow
        allowed = soft
    if allowed < wanted:
        log.warning("the system allows %d open files; %d connections may need %d", allowed, connections, wanted)
