"""Counts of shared RPCs: `stats` agrees with the server."""

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from support.client.both import Connect
from support.client.scripted import Gate, ScriptedServer, refusing
from support.pictures.pixels import IMAGE
from support.waiting import until

from digits_client import Coalescing, QueueFull, ServerError, Stats


def test_before_the_first_call_and_without_coalescing_everything_is_zero(
    connect: Connect, script: ScriptedServer
) -> None:
    assert connect(script.target).stats() == Stats()
    direct = connect(script.target, coalescing=None)
    direct.predict(IMAGE)
    assert direct.stats() == Stats()
    assert Stats().images_per_rpc == 0


def test_calls_in_flight_and_waiting_are_shown_at_any_moment(connect: Connect, script: ScriptedServer) -> None:
    script.answer = gate = Gate()
    client = connect(script.target, coalescing=Coalescing(rpcs_in_flight=1, images_per_rpc=8, max_waiting=19))
    with ThreadPoolExecutor(32) as threads:
        calls = [threads.submit(client.predict, IMAGE)]
        until(lambda: len(script.requests) == 1, "one call is at the server")
        calls += [threads.submit(client.predict, IMAGE) for _ in range(19)]
        until(lambda: client.stats().images_waiting == 19, "the others wait")
        with pytest.raises(QueueFull):
            client.predict(IMAGE)
        stats = client.stats()
        assert (stats.rpcs_sent, stats.rpcs_in_flight, stats.images_in_flight) == (1, 1, 1)
        assert (stats.rpcs_answered, stats.calls_refused) == (0, 1)
        gate.open()
        assert {call.result().digit for call in calls} == {7}
    until(lambda: client.stats().rpcs_in_flight == 0, "all have returned")
    stats = client.stats()
    assert stats.rpcs_sent == stats.rpcs_answered == len(script.sizes) == 4
    assert (stats.images_sent, stats.largest_rpc, stats.images_per_rpc) == (20, 8, 5.0)
    assert (stats.images_waiting, stats.images_in_flight, stats.rpcs_failed) == (0, 0, 0)
    assert stats.usual_rpc_seconds > 0


def test_failed_rpcs_are_counted(connect: Connect, script: ScriptedServer) -> None:
    script.answer = refusing(grpc.StatusCode.INTERNAL)
    client = connect(script.target)
    for _ in range(3):
        with pytest.raises(ServerError):
            client.predict(IMAGE)
    assert (client.stats().rpcs_sent, client.stats().rpcs_failed, client.stats().rpcs_answered) == (3, 3, 0)


def test_every_figure_is_documented() -> None:
    for name in Stats.__dataclass_fields__:
        assert f"\n    {name} " in (Stats.__doc__ or "")
