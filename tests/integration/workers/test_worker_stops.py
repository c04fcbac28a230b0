"""Several worker processes end as one server: nothing in flight is lost, and no process stays."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from support.calls.rpc import DEADLINE, status_of
from support.machine.processes import lives
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess
from support.servers.workers import IMAGE, begin_slow_calls, connect, starting, workers
from support.waiting import until

from digits.v1.prediction_pb2_grpc import PredictionServiceStub

pytestmark = OVER_BOTH_TRANSPORTS


def test_sigterm_answers_calls_in_flight_in_every_worker_and_exits_0(server: ServerProcess) -> None:
    pids = workers(server)
    with ExitStack() as opened:
        calls = begin_slow_calls(server, opened, pictures=4)
        server.terminate()
        assert all(len(call.result(timeout=DEADLINE).digits) == 4 for call in calls)
        assert server.wait() == 0
    assert not any(map(lives, pids))


def test_a_stop_cuts_off_no_caller_in_the_middle_of_a_call(server: ServerProcess) -> None:
    def call_until_refused(stub: PredictionServiceStub) -> str:
        while True:
            call = stub.Predict.future(IMAGE, timeout=DEADLINE)
            if error := call.exception(timeout=DEADLINE):
                return status_of(error)[0]

    with ExitStack() as opened, ThreadPoolExecutor(12) as callers:
        ends = callers.map(call_until_refused, connect(server, 12, opened))
        until(lambda: server.metric("digits_predictions_total") > 50, "the callers are under way")
        server.terminate()
        assert server.wait() == 0
        assert set(ends) == {"UNAVAILABLE"}


def test_a_second_sigterm_ends_every_process_at_once(repository: Path) -> None:
    with starting(repository, "--shutdown-grace", "3000") as server, ExitStack() as opened:
        server.wait_ready()
        pids = workers(server)
        begin_slow_calls(server, opened, pictures=16)
        server.terminate()
        server.wait_for_log("draining")
        server.terminate()
        assert server.wait() == -signal.SIGTERM
        until(lambda: not any(map(lives, pids)), "all workers have ended")


def test_a_killed_supervisor_leaves_no_worker_behind_not_even_one_that_hangs(server: ServerProcess) -> None:
    pids = workers(server)
    os.kill(max(pids), signal.SIGSTOP)
    server.process.kill()
    until(lambda: not any(map(lives, pids)), "all workers have ended")
