"""The most calls that all connections together may have at once: more than the memory can hold."""

from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest
from support.attacks.attack import Attack
from support.machine.usage import Usages, as_text
from support.records import Record
from support.servers.arrangements import BEHIND_ENVOY, OVER_EACH_ARRANGEMENT, server_process
from support.waiting import until
from support.wire.http2 import is_served

pytestmark = OVER_EACH_ARRANGEMENT

CALLS, CALLS_IN_FULL = 20_000, 100_000
MOST_MEMORY, MOST_MEMORY_IN_FULL = 288, 512
"""MiB of all processes that serve, together."""
ENVOY = 256
"""MiB more in a short run where Envoy is one of them: its heap, which it keeps to itself."""

LOOKS = 100


def unchanged(figure: Callable[[], float]) -> Callable[[], bool]:
    """Whether `figure` was the same in several checks in a row."""
    seen: deque[float] = deque(maxlen=LOOKS)

    def holds() -> bool:
        seen.append(figure())
        return len(seen) == LOOKS and len(set(seen)) == 1

    return holds


@pytest.mark.parametrize("name", ["unfinished_calls", "open_streams"])
def test_a_flood_takes_bounded_memory(
    repository: Path, transport: str, name: str, record: Record, *, full: bool
) -> None:
    in_short = MOST_MEMORY + (ENVOY if transport.endswith(BEHIND_ENVOY) else 0)
    count, most = (CALLS_IN_FULL, MOST_MEMORY_IN_FULL) if full else (CALLS, in_short)
    with server_process(transport, "--repository", repository) as server:
        usage = Usages(server.wait_ready().pids)
        usage.remember()
        with Attack(name, server.target, count) as attack:
            sent = attack.done()["sent"]
            until(unchanged(lambda: usage.peak), "it has had its effect")
        until(lambda: is_served(server.target), "others are answered when it is over")
        peak, growth = usage.peak, usage.growth()
    record(
        f"{name.replace('_', ' ')}, {count:,}: memory (at most {most} MiB in all)",
        f"{as_text(growth)}; {peak:.0f} in all",
        met=peak <= most,
    )
    assert sent == count
    if transport != "native":  # it has no such bound, and is not meant for hostile callers
        assert peak <= most
