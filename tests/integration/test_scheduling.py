"""How the system schedules the server's threads."""

import os
from pathlib import Path

from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess

pytestmark = OVER_BOTH_TRANSPORTS


def test_no_thread_of_the_server_interrupts_another_when_it_wakes(server: ServerProcess) -> None:
    threads = [int(task.name) for task in Path(f"/proc/{server.process.pid}/task").iterdir()]
    assert {os.sched_getscheduler(thread) for thread in threads} == {os.SCHED_BATCH}
