"""Callers do not make an outage worse: the retry budget, counted at the server."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from support.client.both import Connect
from support.client.scripted import ScriptedServer, first_pixels, refusing
from support.pictures.pixels import IMAGE
from support.waiting import until

from digits_client import Client, Coalescing, DigitsError, Unavailable

CALLS = 1000


@pytest.fixture
def outage() -> Iterator[ScriptedServer]:
    """It answers every call with UNAVAILABLE."""
    with ScriptedServer(answer=refusing(grpc.StatusCode.UNAVAILABLE)) as outage:
        yield outage


def fails(client: Client) -> bool:
    try:
        client.predict(IMAGE, timeout=60)
    except Unavailable:
        return True
    return False


def test_a_thousand_calls_one_by_one_cost_the_server_at_most_1_1_each(outage: ScriptedServer) -> None:
    """One kind of client is enough: in both, gRPC makes the retries, with pauses of seconds here."""
    with Client(outage.target) as client:
        assert all(fails(client) for _ in range(CALLS))
    assert CALLS <= len(outage.requests) <= 1.1 * CALLS


@pytest.mark.parametrize("coalescing", [None, Coalescing(images_per_rpc=4)], ids=["alone", "coalescing"])
def test_a_thousand_calls_at_once_cost_the_server_at_most_a_hundred_tries_more(
    connect: Connect, outage: ScriptedServer, coalescing: Coalescing | None
) -> None:
    """Where calls share RPCs, it is RPCs that are tried again: few images in each, so that there are hundreds."""
    client = connect(outage.target, coalescing=coalescing)
    with ThreadPoolExecutor(250) as threads:
        assert all(threads.map(lambda _: fails(client), range(CALLS)))
    rpcs = client.stats().rpcs_sent or CALLS
    assert CALLS / 4 <= rpcs <= len(outage.requests) <= rpcs + 100


def test_after_an_outage_calls_are_answered_and_soon_retried_again(outage: ScriptedServer) -> None:
    with Client(outage.target) as client:
        with ThreadPoolExecutor(100) as threads:
            assert all(threads.map(lambda _: fails(client), range(200)))
        outage.answer = first_pixels
        for _ in range(1100):  # a success gives back a tenth of a try
            assert client.predict(IMAGE).digit == 7
        outage.answer = refusing(grpc.StatusCode.UNAVAILABLE, times=1)
        assert client.predict(IMAGE).digit == 7


def test_a_client_survives_the_restart_of_its_server(connect: Connect) -> None:
    with ScriptedServer() as first:
        address = first.target
        client = connect(address)
        assert client.predict(IMAGE).digit == 7
    with pytest.raises(DigitsError):
        client.predict(IMAGE, timeout=1)
    with ScriptedServer(address=address) as second:
        until(lambda: not _fails_now(client), "it is called again")
        assert second.requests


def _fails_now(client: Client) -> bool:
    try:
        client.predict(IMAGE, timeout=1)
    except DigitsError:
        return True
    return False
