"""Servers that are replaced one after the other, as every deployment does, lose no call of a client of both."""

import random
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import monotonic

import numpy as np
import pytest
from numpy.typing import NDArray
from support.calls.steady_load import STOCK, SteadyLoad
from support.client.load import ClientLoad
from support.machine.pauses import Pauses
from support.network.ports import free_port
from support.records import Record
from support.servers.pair import pair_and_client
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess
from support.waiting import until

pytestmark = OVER_BOTH_TRANSPORTS

RESTARTS, RESTARTS_IN_FULL = 2, 20
STOPS, STOPS_IN_FULL = 1, 20
LOADING, LOADING_IN_FULL = {"litert": 2, "keras": 1}, 20
CALLERS = 8
PATIENT, HURRIED = 10.0, 0.05  # seconds of each call
GRACE = 25.0  # seconds, the server's default

RECONNECTS_SOON = ("grpc.max_reconnect_backoff_ms", 100)
CUT_OFF = ("Stream removed", "Socket closed", "shutting down", "CANCELLED")
"""What a call says that had left when the server closed. Others say that no server listened."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Patient and hurried callers: in full, restarts for each; in a short run, the same restarts for both."""
    if "timeouts" in metafunc.fixturenames:
        full = bool(metafunc.config.getoption("full"))
        metafunc.parametrize("timeouts", [[PATIENT], [HURRIED]] if full else [[PATIENT, HURRIED]], ids=str)


def test_rolling_restarts_are_invisible_to_a_client(
    repository: Path, test_images: NDArray[np.uint8], full: bool, record: Record, timeouts: list[float]
) -> None:
    restarts = RESTARTS_IN_FULL if full else RESTARTS
    longest = 0.0
    with pair_and_client(repository) as (pair, client), Pauses() as pauses:
        with ExitStack() as ending:
            loads = [
                ending.enter_context(ClientLoad(client, test_images[:200], CALLERS // len(timeouts), timeout))
                for timeout in timeouts
            ]
            for restart in range(restarts):
                wait_for_more(loads, 50)
                server = pair.servers[restart % 2]
                begun = monotonic()
                server.terminate()
                assert server.wait() == 0
                longest = max(longest, monotonic() - begun)
                server.kill()
                pair.start_again(restart % 2)
            wait_for_more(loads, 50)
        for timeout, load in zip(timeouts, loads, strict=True):
            paused = sum(pauses.within(*call) for call in load.late)
            failed = load.outcomes.total() - load.outcomes["OK"] - paused
            deadlines = "" if timeout == PATIENT else f", deadlines of {1000 * timeout:.0f} ms"
            record(
                f"{restarts} rolling restarts of two servers{deadlines}: calls failed",
                f"{failed} of {load.outcomes.total():,}"
                + (f"; {paused} more as this process itself paused" if paused else ""),
                met=not failed,
            )
            if timeout == PATIENT:
                record(f"slowest stop, exit 0 (grace: {GRACE:.0f} s)", f"{longest:.1f} s", met=longest <= GRACE)
            # Of a short run, any call with a short deadline may be late: the machine may be busy.
            late = paused if full or timeout == PATIENT else load.outcomes["DeadlineExceeded"]
            assert load.outcomes.total() == load.outcomes["OK"] + late, load.outcomes
        assert [server.metric("digits_queue_images") for server in pair.servers] == [0, 0]


def wait_for_more(loads: Sequence[ClientLoad], calls: int) -> None:
    """Returns when each has ended this many more calls."""
    for load in loads:
        load.wait_for_more(calls)


def test_a_stop_cuts_off_no_call_of_callers_that_never_pause(repository: Path, full: bool, record: Record) -> None:
    stops = STOPS_IN_FULL if full else STOPS
    port = free_port()
    lost = answered = 0
    for _ in range(stops):
        with ServerProcess("--repository", repository, "--grpc-port", str(port)) as server:
            server.wait_ready()
            with SteadyLoad(server.target, CALLERS, [*STOCK, RECONNECTS_SOON]) as load:
                load.wait_for_more(50)
                server.terminate()
                assert server.wait() == 0
                outcomes = load.outcomes
        answered += outcomes.get("OK", 0)
        lost += sum(count for outcome, count in outcomes.items() if any(words in outcome for words in CUT_OFF))
    record(
        f"{stops} stops under {CALLERS} stock gRPC callers, always calling: calls lost",
        f"{lost} of {answered + lost:,}",
        met=not lost,
    )
    assert not lost


def has_come(moment: float) -> bool:
    return monotonic() >= moment


@pytest.mark.parametrize(("runtime", "seconds"), [("litert", 0.2), ("keras", 4.0)])
def test_sigterm_while_the_server_loads_is_an_end_like_any_other(
    repository: Path, full: bool, record: Record, runtime: str, seconds: float
) -> None:
    moment = random.Random(3)
    times = LOADING_IN_FULL if full else LOADING[runtime]
    codes = []
    slowest = 0.0
    for _ in range(times):
        with ServerProcess("--repository", repository, "--runtime", runtime) as server:
            soon = monotonic() + moment.uniform(0, seconds)
            until(partial(has_come, soon), "a moment of its loading")
            begun = monotonic()
            server.terminate()
            codes.append(server.wait())
            slowest = max(slowest, monotonic() - begun)
    what = f"SIGTERM {times} times while it loads" + (" Keras" if runtime == "keras" else "")
    record(f"{what}: exit 0", f"{codes.count(0)} times", met=codes.count(0) == times)
    record(f"{what}: the slowest end", f"{slowest:.1f} s")
    assert codes == [0] * times
