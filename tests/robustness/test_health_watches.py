"""All places for health watches are taken, without a token: a load balancer still gets a watch, and keeps it."""

from contextlib import ExitStack

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from support.attacks.attack import Attack
from support.attacks.grpc_attacks import WATCHING
from support.calls.rpc import DEADLINE
from support.calls.witness import GrpcWitness
from support.machine.usage import Usage
from support.records import Record
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess
from support.waiting import until

pytestmark = OVER_BOTH_TRANSPORTS

MOST_WATCHES = 2_048
"""By default."""

LONG_NAMES, NAME_BYTES = 60, 4_190_000
MOST_OF_LONG_NAMES = 300.0
"""MiB: all of them at once, before the server has seen that they are too long, and a part for the transport."""

MOST_MEMORY = 200.0
"""MiB: grpcio takes some 25 KiB for a call that lasts, and each of these attacks is over 2,000."""


@pytest.mark.timeout(300)
def test_a_balancer_watches_beside_callers_that_take_every_place(server: ServerProcess, record: Record) -> None:
    usage = Usage(server.process.pid)
    before = usage.resident
    usage.forget_peak()
    first = Attack("watches", server.target, MOST_WATCHES)
    again = Attack("watches", server.target, MOST_WATCHES)
    started = "grpc_server_started_total"
    with GrpcWitness(server.target) as witness, server.channel() as channel, first:
        first.done()
        until(lambda: server.metric(started, grpc_method="Watch") >= MOST_WATCHES, "every place is taken", DEADLINE)
        watch = HealthStub(channel).Watch(HealthCheckRequest(), timeout=300)
        with ExitStack() as ending:
            ending.callback(watch.cancel)
            assert next(iter(watch)).status == HealthCheckResponse.SERVING
            with again:
                again.done()
                enough = MOST_WATCHES * 3 // 2  # grpcio's core itself refuses some calls of a burst
                until(lambda: server.metric(started, grpc_method="Watch") > enough, "they tried again", DEADLINE)
                witness.wait_for_more(20)
            assert watch.is_active()
    assert witness.failures == []
    grown = usage.peak - before
    record(
        f"{2 * MOST_WATCHES:,} health watches of {2 * WATCHING} connections: a balancer's beside them; memory",
        f"let in, and kept; + {grown:.0f} MiB",
        met=grown <= MOST_MEMORY,
    )
    assert grown <= MOST_MEMORY


def test_watches_of_very_long_names_hold_no_memory(server: ServerProcess, record: Record) -> None:
    """A watch for an unknown name stays open, and with it its request."""
    usage = Usage(server.process.pid)
    before = usage.resident
    usage.forget_peak()
    request = HealthCheckRequest(service="a" * NAME_BYTES)
    with server.channel() as channel:
        watches = [HealthStub(channel).Watch(request, timeout=DEADLINE) for _ in range(LONG_NAMES)]
        for watch in watches:
            with pytest.raises(grpc.RpcError) as refused:
                next(iter(watch))
            assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    grown = usage.peak - before
    record(
        f"{LONG_NAMES} health watches of a name of {NAME_BYTES:,} bytes: memory",
        f"+ {grown:.0f} MiB",
        met=grown <= MOST_OF_LONG_NAMES,
    )
    assert grown <= MOST_OF_LONG_NAMES
