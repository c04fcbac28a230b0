"""How both clients reach a server: retries, deadlines, errors, balancing. Against a server that follows a script."""

import socket
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from support.client.both import Connect
from support.client.scripted import Gate, ScriptedServer, refusing
from support.pictures.pixels import IMAGE
from support.waiting import until

import digits_client
from digits_client import Coalescing, DeadlineExceeded, DigitsError, ServerError, Unavailable

OTHERS = [status for status in grpc.StatusCode if status not in (grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE)]


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_call_that_finds_the_server_unavailable_is_tried_again(connect: Connect, script: ScriptedServer) -> None:
    script.answer = refusing(grpc.StatusCode.UNAVAILABLE, times=3)
    assert connect(script.target).predict(IMAGE).digit == 7
    assert len(script.requests) == 4


def test_after_five_tries_the_caller_gets_the_servers_own_sentence(connect: Connect, script: ScriptedServer) -> None:
    script.answer = refusing(grpc.StatusCode.UNAVAILABLE, message="no model is serving yet")
    with pytest.raises(Unavailable, match=r"^no model is serving yet$"):
        connect(script.target).predict(IMAGE)
    assert len(script.requests) == 5


@pytest.mark.parametrize("status", OTHERS, ids=lambda status: status.name)
def test_no_other_status_is_tried_again_and_each_has_its_error(
    connect: Connect, script: ScriptedServer, status: grpc.StatusCode
) -> None:
    script.answer = refusing(status, message="the reason")
    with pytest.raises(DigitsError, match="the reason") as caught:
        connect(script.target).predict(IMAGE)
    assert len(script.requests) == 1
    if caught.type is ServerError:
        assert str(caught.value) == f"{status.name}: the reason"
    assert caught.value.status is status


def test_every_error_is_a_digits_error_and_stands_for_one_status() -> None:
    kinds = [getattr(digits_client, name) for name in digits_client.__all__]
    errors = [
        kind for kind in kinds if isinstance(kind, type) and issubclass(kind, DigitsError) and kind is not DigitsError
    ]
    direct = [error for error in errors if DigitsError in error.__bases__]
    assert len({error.status for error in direct}) == len(direct) >= 6
    for error in errors:
        parent = next(base for base in error.__bases__ if issubclass(base, DigitsError))
        assert error in direct or error.status is parent.status


@pytest.mark.parametrize("method", ["predict", "predict_batch", "model", "health"])
def test_every_call_of_a_listener_that_never_answers_ends_by_its_timeout(connect: Connect, method: str) -> None:
    """Not by gRPC's own timeout, after which it considers the server unavailable."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = connect(f"127.0.0.1:{listener.getsockname()[1]}", timeout=0.2)
        arguments = {"predict": (IMAGE,), "predict_batch": ([IMAGE, IMAGE],)}.get(method, ())
        with pytest.raises(DeadlineExceeded):
            getattr(client, method)(*arguments)
        with pytest.raises(DeadlineExceeded):
            getattr(client, method)(*arguments, timeout=0.1)


def test_a_call_held_back_by_the_server_ends_at_its_own_timeout(connect: Connect, script: ScriptedServer) -> None:
    client = connect(script.target, timeout=30)
    client.predict(IMAGE)
    script.deadlines.clear()
    script.answer = Gate()
    with pytest.raises(DeadlineExceeded):
        client.predict(IMAGE, timeout=0.2)
    with pytest.raises(DeadlineExceeded):
        client.predict_batch([IMAGE], timeout=0.2)
    assert script.deadlines
    assert all(left is not None and left < 1 for left in script.deadlines)


def test_the_default_timeout_is_the_clients(connect: Connect, script: ScriptedServer) -> None:
    client = connect(script.target, timeout=25)
    client.predict(IMAGE)
    client.predict_batch([IMAGE])
    connect(script.target).predict(IMAGE)
    *own, default = [left or 0 for left in script.deadlines]
    assert all(10 < left < 26 for left in own)
    assert 0 < default < 11


def test_a_missing_server_is_unavailable(connect: Connect) -> None:
    with pytest.raises(Unavailable):
        connect(f"127.0.0.1:{unused_port()}").predict(IMAGE, timeout=60)


def test_calls_take_turns_over_all_addresses_of_the_target(connect: Connect) -> None:
    with ScriptedServer() as first, ScriptedServer() as second:
        client = connect(f"ipv4:{first.target},{second.target}")
        until(lambda: bool(client.predict(IMAGE)) and bool(first.requests and second.requests), "both are connected")
        before = len(first.requests), len(second.requests)
        for _ in range(20):
            client.predict(IMAGE)
        assert [len(first.requests) - before[0], len(second.requests) - before[1]] == [10, 10]


def test_a_host_name_is_resolved_to_all_its_addresses(connect: Connect) -> None:
    addresses = {entry[4][0] for entry in socket.getaddrinfo("localhost", None)}
    port = unused_port()
    places = [f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}" for address in sorted(addresses)]
    servers = [ScriptedServer(address=place) for place in places]
    for server in servers:
        server.__enter__()
    try:
        client = connect(f"localhost:{port}")
        until(lambda: bool(client.predict(IMAGE)) and all(server.requests for server in servers), "all are called")
    finally:
        for server in servers:
            server.__exit__(None, None, None)


def test_a_server_that_goes_away_costs_no_call_while_another_is_there(connect: Connect) -> None:
    with ScriptedServer() as staying:
        with ScriptedServer() as leaving:
            client = connect(f"ipv4:{leaving.target},{staying.target}")
            until(lambda: bool(client.predict(IMAGE)) and bool(leaving.requests and staying.requests), "both connected")
        assert [client.predict(IMAGE).digit for _ in range(20)] == [7] * 20


def test_ready_means_that_health_says_serving(connect: Connect, script: ScriptedServer) -> None:
    client = connect(script.target)
    assert client.health()
    client.wait_ready()
    script.serving = False
    assert not client.health()
    with pytest.raises(DeadlineExceeded, match=r"not ready within 0\.2 seconds"):
        client.wait_ready(0.2)


def test_a_timeout_that_the_client_finds_says_why_in_its_cause(connect: Connect, script: ScriptedServer) -> None:
    """The cause says where the call was waiting, or why a server was not ready."""
    script.answer = gate = Gate()
    client = connect(script.target, timeout=60, coalescing=Coalescing(images_per_rpc=2, rpcs_in_flight=2))
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(client.predict, IMAGE)
        until(lambda: len(script.requests) == 1, "the first call is at the server")
        second = threads.submit(client.predict, IMAGE)
        until(lambda: len(script.requests) == 2, "the second call has left without waiting for the first")
        with pytest.raises(DeadlineExceeded) as caught:
            client.predict(IMAGE, timeout=0.2)
        assert isinstance(caught.value.__cause__, TimeoutError)
        assert str(caught.value.__cause__) == "it waited in the client: 2 RPCs are in flight"
        gate.open()
        assert first.result(60).digit == second.result(60).digit == 7
    script.serving = False
    with pytest.raises(DeadlineExceeded) as unready:
        client.wait_ready(0.2)
    assert isinstance(unready.value.__cause__, DigitsError)
    with pytest.raises(DeadlineExceeded) as absent:
        connect(f"127.0.0.1:{unused_port()}").wait_ready(0.3)
    assert isinstance(absent.value.__cause__, DigitsError)
    assert isinstance(absent.value.__cause__.__cause__, grpc.RpcError)


def test_waiting_for_a_server_that_never_comes_ends_at_the_timeout(connect: Connect) -> None:
    with pytest.raises(DeadlineExceeded, match=r"not ready within 0\.3 seconds"):
        connect(f"127.0.0.1:{unused_port()}").wait_ready(0.3)


def test_waiting_ends_when_the_server_comes(connect: Connect) -> None:
    port = unused_port()
    with ThreadPoolExecutor(1) as threads:
        client = connect(f"127.0.0.1:{port}")
        waiting = threads.submit(client.wait_ready, 30)
        until(waiting.running, "it waits")
        with ScriptedServer(address=f"127.0.0.1:{port}", serving=False) as script:
            until(lambda: _answers(client), "the server is reached")
            assert not waiting.done()
            script.serving = True
            assert waiting.result(30) is None


def _answers(client: digits_client.Client) -> bool:
    try:
        return not client.health(timeout=1)
    except DigitsError:
        return False


def test_closing_twice_is_closing_once(connect: Connect, script: ScriptedServer) -> None:
    client = connect(script.target)
    client.predict(IMAGE)
    client.close()
    client.close()


def test_several_chunks_of_a_batch_are_on_the_way_at_once(connect: Connect, script: ScriptedServer) -> None:
    gate = script.answer = Gate()
    images = np.arange(6 * 1024, dtype=np.uint8).repeat(784).reshape(-1, 28, 28)
    with ThreadPoolExecutor(1) as threads:
        result = threads.submit(connect(script.target).predict_batch, images)
        until(lambda: len(script.requests) == 4, "four chunks are there")
        gate.open()
        assert list(result.result(30).digits) == [value % 256 % 10 for value in range(6 * 1024)]
    assert script.sizes == [1024] * 6


def test_a_chunk_that_finds_the_server_unavailable_is_tried_again(connect: Connect, script: ScriptedServer) -> None:
    script.answer = refusing(grpc.StatusCode.UNAVAILABLE, times=2)
    assert len(connect(script.target).predict_batch(np.zeros((3000, 28, 28), np.uint8))) == 3000
    assert len(script.requests) == 5
