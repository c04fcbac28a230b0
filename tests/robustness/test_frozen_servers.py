"""One of three servers is frozen (SIGSTOP): its kernel accepts, but the server does not answer.

The default client goes on.
"""

import os
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.network.ports import free_port
from support.records import Record
from support.servers.process import ServerProcess

from digits_client import Client, DigitsError

pytestmark = [
    pytest.mark.alone,
    # The default transport of servers on this machine.
    pytest.mark.parametrize("transport", ["native"], indirect=True, scope="module"),
]

SERVERS = 3
CALLERS = 8
TIMEOUT = 1.0  # seconds of each call
SECONDS = 25.0  # for which one server is frozen
SETTLED = 15.0  # seconds after which every call is answered
LEAST_SUCCESS = 0.9


def test_a_frozen_server_of_three_costs_at_most_a_tenth_of_the_calls_and_later_no_call(
    repository: Path, test_images: NDArray[np.uint8], record: Record
) -> None:
    outcomes: Counter[tuple[str, bool]] = Counter()
    with ExitStack() as ending:
        ports = [free_port() for _ in range(SERVERS)]
        servers = [
            ending.enter_context(ServerProcess("--repository", repository, "--grpc-port", str(port))) for port in ports
        ]
        for server in servers:
            server.wait_ready()
        client = ending.enter_context(Client("ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)))
        for image in test_images[:30]:
            client.predict(image)
        os.kill(servers[0].process.pid, signal.SIGSTOP)
        ending.callback(os.kill, servers[0].process.pid, signal.SIGCONT)
        began = time.monotonic()

        def calls(caller: int) -> Counter[tuple[str, bool]]:
            counted: Counter[tuple[str, bool]] = Counter()
            while (since := time.monotonic() - began) < SECONDS:
                try:
                    client.predict(test_images[caller], timeout=TIMEOUT)
                    counted["OK", since > SETTLED] += 1
                except DigitsError as error:
                    counted[type(error).__name__, since > SETTLED] += 1
            return counted

        with ThreadPoolExecutor(CALLERS) as threads:
            for counted in threads.map(calls, range(CALLERS)):
                outcomes += counted
    answered = outcomes["OK", False] + outcomes["OK", True]
    share = answered / outcomes.total()
    late = sum(count for (outcome, settled), count in outcomes.items() if settled and outcome != "OK")
    record(
        f"one of three servers frozen for {SECONDS:.0f} s: calls answered (at least {LEAST_SUCCESS:.0%})",
        f"{share:.2%} of {outcomes.total():,}",
        met=share >= LEAST_SUCCESS,
    )
    record(f"calls that failed later than {SETTLED:.0f} s after it froze (0)", f"{late:,}", met=late == 0)
    assert share >= LEAST_SUCCESS
    assert late == 0
