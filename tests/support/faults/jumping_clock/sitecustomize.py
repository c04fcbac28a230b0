"""Has the wall clock jump by ten years, forth and back, whenever a program that starts with this on its path looks.

Not for grpcio: it gives deadlines by the wall clock, from a core to which this clock does not jump.
"""

import itertools
import sys
import time

_YEARS = 10 * 365 * 86400
_EXEMPT = "digits_server.transports.grpcio"

_time, _time_ns = time.time, time.time_ns
_jumps = itertools.cycle((0, _YEARS, -_YEARS))


def _jump() -> int:
    caller = str(sys._getframe(2).f_globals.get("__name__"))
    return 0 if caller.startswith(_EXEMPT) else next(_jumps)


def _jumping_time() -> float:
    return _time() + _jump()


def _jumping_time_ns() -> int:
    return _time_ns() + _jump() * 10**9


time.time, time.time_ns = _jumping_time, _jumping_time_ns
