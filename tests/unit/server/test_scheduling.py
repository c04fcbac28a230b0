"""A system that refuses a change of priority does not prevent the start."""

import asyncio
import errno
import os

import pytest

from digits_server.system.background_thread import BackgroundThread
from digits_server.system.scheduling import lower_priority, work_in_batches

REFUSALS = [errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOSYS]


@pytest.mark.parametrize("number", REFUSALS)
def test_a_refused_priority_is_not_an_error(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    for name in ("sched_setscheduler", "setpriority", "getpriority"):
        monkeypatch.setattr(os, name, refuse)
    work_in_batches()
    lower_priority(5)
    assert asyncio.run(BackgroundThread("test").run(lambda: 1)) == 1
