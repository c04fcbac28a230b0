"""As many calls as all connections there may be can have at once: more than there is memory for."""

from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest
from support.attack import Attack
from support.http2 import is_served
from support.records import Record
from support.servers import OVER_BOTH_TRANSPORTS, ServerProcess
from support.usage import Usage
from support.waiting import until

pytestmark = OVER_BOTH_TRANSPORTS

CALLS, CALLS_IN_FULL = 20_000, 100_000
MOST_MEMORY, MOST_MEMORY_IN_FULL = 288, 512
"""MiB of the process; over Envoy so many calls would take more, were there no bound."""

LOOKS = 100


def unchanged(figure: Callable[[], float]) -> Callable[[], bool]:
    """Whether `figure` was the same at so many calls in a row."""
    seen: deque[float] = deque(maxlen=LOOKS)

    def holds() -> bool:
        seen.append(figure())
        return len(seen) == LOOKS and len(set(seen)) == 1

    return holds


@pytest.mark.parametrize("name", ["unfinished_calls", "open_streams"])
def test_a_flood_takes_bounded_memory(repository: Path, name: str, record: Record, *, full: bool) -> None:
    count, most = (CALLS_IN_FULL, MOST_MEMORY_IN_FULL) if full else (CALLS, MOST_MEMORY)
    with ServerProcess("--repository", repository, "--max-memory", str(most * 1024 * 1024)) as server:
        usage = Usage(server.wait_ready().process.pid)
        resident = usage.resident
        with Attack(name, server.target, count) as attack:
            sent = attack.done()["sent"]
            until(unchanged(lambda: usage.peak), "it has had its effect")
        until(lambda: is_served(server.target), "others are answered when it is over")
        peak = usage.peak
    record(
        f"{name.replace('_', ' ')}, {count:,}, of a process that may have {most} MiB: memory",
        f"+ {peak - resident:.0f} MiB, {peak:.0f} in all",
        met=peak <= most,
    )
    assert sent == count
    assert peak <= most
