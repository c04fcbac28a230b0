"""The limit of open files and connections of the process."""

import logging
import resource

SPARE = 256
"""Files beside connections: models, listeners, event loops, threads, log."""

log = logging.getLogger(__name__)


def allow(connections: int) -> None:
    """Raises the limit of this process to what so many connections need, as far as the system allows.

    If the system allows less, the log says so: connections then wait or fail before the server's own limits are
    reached.
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
