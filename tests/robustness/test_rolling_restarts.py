"""Servers that are replaced one after the other, as every deployment does, lose no call of a client of both."""

import random
from functools import partial
from pathlib import Path
from time import monotonic

import numpy as np
from numpy.typing import NDArray
from support.client_load import ClientLoad
from support.pair import pair_and_client
from support.records import Record
from support.servers import OVER_BOTH_TRANSPORTS, ServerProcess
from support.waiting import until

pytestmark = OVER_BOTH_TRANSPORTS

RESTARTS, RESTARTS_IN_FULL = 2, 20
LOADING, LOADING_IN_FULL = 2, 20
CALLERS = 8
TIMEOUT = 10.0  # seconds of each call
GRACE = 25.0  # seconds, the server's default


def test_rolling_restarts_are_invisible_to_a_client(
    repository: Path, test_images: NDArray[np.uint8], full: bool, record: Record
) -> None:
    restarts = RESTARTS_IN_FULL if full else RESTARTS
    longest = 0.0
    with pair_and_client(repository) as (pair, client):
        with ClientLoad(client, test_images[:200], CALLERS, TIMEOUT) as load:
            for restart in range(restarts):
                load.wait_for_more(50)
                server = pair.servers[restart % 2]
                begun = monotonic()
                server.terminate()
                assert server.wait() == 0
                longest = max(longest, monotonic() - begun)
                server.kill()
                pair.start_again(restart % 2)
            load.wait_for_more(50)
        failed = load.outcomes.total() - load.outcomes["OK"]
        record(
            f"{restarts} rolling restarts of two servers: calls failed",
            f"{failed} of {load.outcomes.total():,}",
            met=not failed,
        )
        record(f"slowest stop, exit 0 (grace: {GRACE:.0f} s)", f"{longest:.1f} s", met=longest <= GRACE)
        assert load.outcomes == {"OK": load.outcomes.total()}
        assert [server.metric("digits_queue_images") for server in pair.servers] == [0, 0]


def has_come(moment: float) -> bool:
    return monotonic() >= moment


def test_sigterm_while_the_server_loads_is_an_end_like_any_other(repository: Path, full: bool, record: Record) -> None:
    moment = random.Random(3)
    times = LOADING_IN_FULL if full else LOADING
    codes = []
    for _ in range(times):
        with ServerProcess("--repository", repository) as server:
            soon = monotonic() + moment.uniform(0, 0.2)
            until(partial(has_come, soon), "a moment of its loading")
            server.terminate()
            codes.append(server.wait())
    record(f"SIGTERM {times} times while it loads: exit 0", f"{codes.count(0)} times", met=codes.count(0) == times)
    assert codes == [0] * times
