"""Over Envoy, connections whose calls are in vain are closed, and new ones turned away; nobody else minds."""

from pathlib import Path

import grpc
import pytest
from support.open_connection import OK
from support.open_loop import Offer, Outcomes, offered
from support.rpc import DEADLINE
from support.servers import ServerProcess
from support.waiting import until
from support.witness import GrpcWitness

from digits.v1 import prediction_pb2 as pb
from digits.v1.prediction_pb2_grpc import PredictionServiceStub
from digits_server.transports.envoy.connections import Door
from digits_server.transports.envoy.shedding import IN_VAIN_SHARE

REQUEST = pb.PredictRequest(images=bytes(784))
FLOOD_RATE, FLOOD_SECONDS, FLOOD_DEADLINE = 40_000.0, 2.0, 0.1
"""Several times what is answered, from callers who give up soon."""

FLOODS = 10
"""One after another, at most: a fast machine may keep up with some, and a slow one not offer enough."""

CLOSED = "digits_connections_shed_total"


def flood(server: ServerProcess) -> Outcomes:
    return offered(Offer(server.target, FLOOD_RATE, FLOOD_SECONDS, FLOOD_DEADLINE))


def new_connection(server: ServerProcess) -> grpc.Channel:
    return grpc.insecure_channel(server.target, [("grpc.use_local_subchannel_pool", 1)])


def envoy(repository: Path, *flags: str, **environment: str) -> ServerProcess:
    return ServerProcess("--repository", repository, "--transport", "envoy", *flags, environment=environment)


def test_connections_of_a_flood_are_closed_and_a_modest_one_is_not(repository: Path) -> None:
    with envoy(repository) as server:
        with GrpcWitness(server.wait_ready().target) as modest:
            modest.wait_for_more(1)
            for _ in range(FLOODS):
                flood(server)
                if server.metric(CLOSED):
                    break
        assert server.metric(CLOSED) > 0
        assert not modest.failures
        until(lambda: _is_let_in(server), "somebody new is let in afterwards")


def test_no_connection_is_closed_of_a_server_told_not_to(repository: Path) -> None:
    with envoy(repository, "--no-shed-connections") as server:
        outcomes = flood(server.wait_ready())
        assert (outcomes.status != OK).mean() > IN_VAIN_SHARE, "it was no overload"
        assert server.metric(CLOSED) == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "::"])
def test_who_is_turned_away_is_told_at_once_and_who_is_there_stays(repository: Path, tmp_path: Path, host: str) -> None:
    with (
        envoy(repository, "--host", host, TMPDIR=str(tmp_path)) as server,
        grpc.insecure_channel(server.wait_ready().target) as there,
    ):
        stays = PredictionServiceStub(there)
        stays.Predict(REQUEST, timeout=DEADLINE)
        (folder,) = tmp_path.iterdir()
        door = Door(folder)
        door.set_open(may_enter=False)
        until(lambda: not _is_let_in(server), "nobody new is let in")
        stays.Predict(REQUEST, timeout=DEADLINE)
        with new_connection(server) as channel:
            turned_away = PredictionServiceStub(channel)
            with pytest.raises(grpc.RpcError) as told:
                turned_away.Predict(REQUEST, timeout=DEADLINE)
            assert told.value.code() is grpc.StatusCode.UNAVAILABLE
            door.set_open(may_enter=True)
            turned_away.Predict(REQUEST, timeout=DEADLINE, wait_for_ready=True)


def _is_let_in(server: ServerProcess) -> bool:
    with new_connection(server) as channel:
        try:
            PredictionServiceStub(channel).Predict(REQUEST, timeout=DEADLINE)
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            return False
        return True
