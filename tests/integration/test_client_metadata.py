"""Metadata and request ids: those of a client go with every RPC, those of a call with its own RPC alone."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.client.both import Connect
from support.client.scripted import Gate, ScriptedServer
from support.pictures.pixels import IMAGE
from support.servers.process import ServerProcess
from support.waiting import until

from digits_client import Client, DeadlineExceeded, InvalidInput, Unavailable

FILE = b"a file"

CALLS: dict[str, Callable[..., object]] = {
    "predict": lambda client, **own: client.predict(IMAGE, **own),
    "a file": lambda client, **own: client.predict(FILE, **own),
    "predict_batch": lambda client, **own: client.predict_batch([IMAGE, FILE], **own),
    "predict_iter": lambda client, **own: list(client.predict_iter([IMAGE, FILE], **own)),
    "predict_stream": lambda client, **own: list(client.predict_stream([IMAGE, FILE], **own)),
    "model": lambda client, **own: client.model(**own),
    "health": lambda client, **own: client.health(**own),
}


def carried(script: ScriptedServer) -> list[dict[str, Any]]:
    """The metadata of each RPC so far; every name once."""
    found = [list(context.invocation_metadata()) for context in script.calls]
    assert all(len(dict(pairs)) == len(pairs) for pairs in found)
    return [dict(pairs) for pairs in found]


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_the_metadata_of_a_client_goes_with_every_rpc(
    connect: Connect, script: ScriptedServer, call: Callable[..., object]
) -> None:
    call(connect(script.target, metadata={"X-Tenant": "blue", "trace-bin": b"\x00\xff"}, request_id="job-7"))
    for metadata in carried(script):
        assert metadata["x-tenant"] == "blue"
        assert metadata["trace-bin"] == b"\x00\xff"
        assert metadata["x-request-id"] == "job-7"
    assert carried(script)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_metadata_of_a_call_replaces_the_clients_entry_of_the_same_name(
    connect: Connect, script: ScriptedServer, call: Callable[..., object]
) -> None:
    client = connect(script.target, metadata=[("x-tenant", "blue"), ("x-zone", "a")], request_id="job-7")
    call(client, metadata={"x-tenant": "red"}, request_id="order-1")
    for metadata in carried(script):
        assert metadata["x-tenant"] == "red"
        assert metadata["x-zone"] == "a"
        assert metadata["x-request-id"] == "order-1"
    assert carried(script)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_token_goes_along_with_the_metadata_of_a_call(
    connect: Connect, script: ScriptedServer, call: Callable[..., object]
) -> None:
    call(connect(script.target, token="some-token", metadata={"x-zone": "a"}), metadata={"x-tenant": "red"})  # noqa: S106
    for metadata in carried(script):
        assert metadata["authorization"] == "Bearer some-token"
        assert (metadata["x-zone"], metadata["x-tenant"]) == ("a", "red")
    assert carried(script)


def test_calls_with_a_request_id_of_their_own_have_an_rpc_each_and_wait_for_no_other(
    connect: Connect, script: ScriptedServer
) -> None:
    script.answer = gate = Gate()
    client = connect(script.target, request_id="job-7")
    with ThreadPoolExecutor(64) as threads:
        shared = [threads.submit(client.predict, IMAGE) for _ in range(20)]
        until(lambda: client.stats().images_waiting + client.stats().images_in_flight == 20, "the calls share RPCs")
        own = [threads.submit(client.predict, IMAGE, request_id=f"order-{number}") for number in range(20)]
        until(lambda: len(script.requests) >= 20 + client.stats().rpcs_in_flight, "each order is at the server")
        gate.open()
        assert {call.result().digit for call in (*shared, *own)} == {7}
    rpcs = Counter(metadata["x-request-id"] for metadata in carried(script))
    assert rpcs.pop("job-7") == client.stats().rpcs_sent < 20
    assert rpcs == {f"order-{number}": 1 for number in range(20)}
    assert sum(script.sizes) == 40


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"request_id": ""}, "request_id"),
        ({"request_id": "a b"}, "request_id"),
        ({"request_id": "x" * 65}, "request_id"),
        ({"request_id": 7}, "request_id"),
        ({"metadata": {"x y": "1"}}, "metadata: expected names"),
        ({"metadata": {"": "1"}}, "metadata: expected names"),
        ({"metadata": {b"x": "1"}}, "metadata: expected names"),
        ({"metadata": {"x": "naïve"}}, "metadata: x"),
        ({"metadata": {"x": "a\nb"}}, "metadata: x"),
        ({"metadata": {"x": b"1"}}, "metadata: x"),
        ({"metadata": {"x-bin": "1"}}, "metadata: x-bin"),
        ({"metadata": {"x": None}}, "metadata: x"),
        ({"metadata": {"Authorization": "Bearer secret"}}, "use token="),
        ({"metadata": {"grpc-timeout": "1S"}}, "gRPC sets it"),
        ({"metadata": {"Transfer-Encoding": "chunked"}}, "HTTP/2 forbids it"),
        ({"metadata": {"x": "y" * 5000}}, "at most 4,096 bytes"),
        ({"metadata": 7}, "a mapping, or pairs"),
        ({"metadata": "x-tenant"}, "a mapping, or pairs"),
    ],
    ids=str,
)
def test_invalid_metadata_is_refused_by_name_before_anything_is_sent(
    connect: Connect, script: ScriptedServer, settings: dict[str, Any], named: str
) -> None:
    client = connect(script.target)
    for call in CALLS.values():
        with pytest.raises(InvalidInput, match=named) as caught:
            call(client, **settings)
        assert "secret" not in str(caught.value)
    with pytest.raises(InvalidInput, match=named):
        connect(script.target, **settings)
    assert not carried(script)


def test_metadata_is_no_way_around_the_rule_that_a_token_stays_here() -> None:
    with pytest.raises(InvalidInput, match="token="):
        Client("digits.invalid:50051", metadata={"authorization": "Bearer x"})


def test_an_error_of_a_call_with_a_request_id_is_that_of_any_other(connect: Connect) -> None:
    client = connect("127.0.0.1:1", timeout=0.5)
    with pytest.raises((Unavailable, DeadlineExceeded)) as caught:
        client.predict(IMAGE, request_id="order-1")
    assert isinstance(caught.value.__cause__, grpc.RpcError)


def test_the_log_of_a_server_knows_each_call_by_its_request_id(connect: Connect, repository: Path) -> None:
    with ServerProcess("--repository", repository, "--access-log") as server:
        server.wait_ready()
        client = connect(server.target, request_id="job-7")
        client.predict(IMAGE)
        client.predict(IMAGE, request_id="order-1")
        list(client.predict_stream([IMAGE, IMAGE], request_id="camera-1"))
        for name in ("job-7", "order-1", "camera-1"):
            until(lambda name=name: any(line.get("request_id") == name for line in server.log), f"a line of {name}")  # type: ignore[misc]
