"""Stock clients with many calls in flight on one channel, as `asyncio.gather` over a list of images makes them.

Up to --max-calls calls, no call may fail; the stream limit of a connection makes the others wait in the client.
"""

import asyncio
import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from support.programs.examples import ROOT, SECONDS, built_as_documented, node_program
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub
from digits_server.transports.limits import MAX_CONCURRENT_STREAMS

pytestmark = OVER_BOTH_TRANSPORTS

REQUEST = PredictRequest(images=bytes(784))
MOST_CALLS = 2048
"""The default of --max-calls."""
ROUNDS = 2
"""Calls one after another: a refusal happens when a new call takes the place of one that was just answered."""
CALL_SECONDS = 60.0
BURSTS = Path(__file__).parents[1] / "support/programs/bursts"
A_CONNECTION_OF_ITS_OWN = [("grpc.use_local_subchannel_pool", 1)]


async def by_aio(target: str, in_flight: int, rounds: int) -> Counter[str]:
    outcomes: Counter[str] = Counter()
    async with grpc.aio.insecure_channel(target, A_CONNECTION_OF_ITS_OWN) as channel:
        predict = PredictionServiceStub(channel).Predict

        async def caller() -> None:
            for _ in range(rounds):
                try:
                    await predict(REQUEST, timeout=CALL_SECONDS)
                except grpc.aio.AioRpcError as error:
                    outcomes[f"{error.code().name}: {error.details()}"] += 1
                else:
                    outcomes["OK"] += 1

        await asyncio.gather(*(caller() for _ in range(in_flight)))
    return outcomes


@pytest.mark.parametrize("in_flight", [MAX_CONCURRENT_STREAMS, MOST_CALLS])
async def test_no_call_of_an_asyncio_stub_fails(server: ServerProcess, in_flight: int) -> None:
    assert await by_aio(server.target, in_flight, ROUNDS) == {"OK": in_flight * ROUNDS}


async def test_no_call_fails_where_few_are_allowed(repository: Path) -> None:
    with ServerProcess("--repository", repository, "--max-calls", "64") as server:
        server.wait_ready()
        assert await by_aio(server.target, 64, 20) == {"OK": 64 * 20}


def test_no_call_of_threads_that_share_a_stub_fails(server: ServerProcess) -> None:
    in_flight = 400
    with (
        grpc.insecure_channel(server.target, A_CONNECTION_OF_ITS_OWN) as channel,
        ThreadPoolExecutor(in_flight) as pool,
    ):
        predict = PredictionServiceStub(channel).Predict
        replies = pool.map(lambda _: predict(REQUEST, timeout=CALL_SECONDS), range(in_flight * ROUNDS))
        assert sum(len(reply.digits) for reply in replies) == in_flight * ROUNDS


def test_no_call_of_a_stub_that_returns_futures_fails(server: ServerProcess) -> None:
    with grpc.insecure_channel(server.target, A_CONNECTION_OF_ITS_OWN) as channel:
        predict = PredictionServiceStub(channel).Predict
        for _ in range(ROUNDS):
            begun = [predict.future(REQUEST, timeout=CALL_SECONDS) for _ in range(MOST_CALLS)]
            assert [call.code() for call in begun] == [grpc.StatusCode.OK] * MOST_CALLS


@pytest.fixture(scope="session", params=["Node", "Go"])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str | Path]]:
    """The command of a client in another language that keeps calls in flight."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "Node":
        yield ["node", node_program(BURSTS / "burst.js", folder)]
    else:
        _, environment = built_as_documented("Go", folder, BURSTS / "main.go")
        yield [Path(environment["work"]) / "predict"]


def test_no_call_of_a_client_in_another_language_fails(server: ServerProcess, program: list[str | Path]) -> None:
    ended = subprocess.run(
        [*program, server.target, str(MOST_CALLS), str(ROUNDS)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env={**os.environ, "DIGITS_PROTO": str(ROOT / "proto")},
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == {"OK": MOST_CALLS * ROUNDS}
