"""The limits of the shipped Envoy for callers; its refusals are like the server's own."""

import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from support.calls.rpc import DEADLINE, refusal
from support.client.scripted import ScriptedServer
from support.network.ports import free_port
from support.servers.front_proxy import STOP_SECONDS, FrontProxy, front_proxy, ports_of
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess
from support.waiting import until
from support.wire.http2 import GRPC, Http2, framed

from deploy.envoy import on_this_machine
from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

pytestmark = OVER_BOTH_TRANSPORTS

PREDICT = "/digits.v1.PredictionService/Predict"
PREDICT_STREAM = "/digits.v1.PredictionService/PredictStream"
LIMIT = 4 * 1024 * 1024
"""Bytes of one message."""
PIECE = 16_384
RESOURCE_EXHAUSTED = 8
REQUEST = PredictRequest(images=bytes(784))
ANYTHING_GOES = [("grpc.max_metadata_size", 2**24), ("grpc.absolute_max_metadata_size", 2**24)]


@pytest.fixture(scope="module")
def proxy(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontProxy]:
    with front_proxy(tmp_path_factory.mktemp("envoy"), [ports_of(server)]) as running:
        yield running


@pytest.fixture
def stub(proxy: FrontProxy) -> Iterator[PredictionServiceStub]:
    with grpc.insecure_channel(proxy.target, ANYTHING_GOES) as channel:
        yield PredictionServiceStub(channel)


def test_a_message_of_the_limit_reaches_the_server_and_one_byte_more_does_not(
    server: ServerProcess, stub: PredictionServiceStub
) -> None:
    overhead = PredictRequest(images=bytes(LIMIT)).ByteSize() - LIMIT
    within = refusal(lambda: stub.Predict(PredictRequest(images=bytes(LIMIT - overhead)), timeout=DEADLINE))
    assert within[0] == "INVALID_ARGUMENT"  # not a whole number of images, but the server reads it
    refused = server.metric("digits_rejected_total", reason="invalid")
    over = refusal(lambda: stub.Predict(PredictRequest(images=bytes(LIMIT - overhead + 1)), timeout=DEADLINE))
    assert over == ("RESOURCE_EXHAUSTED", f"the message is larger than {LIMIT} bytes (max_message_bytes)")
    assert server.metric("digits_rejected_total", reason="invalid") == refused
    assert len(stub.Predict(REQUEST, timeout=DEADLINE).digits) == 1


def test_no_byte_of_a_message_reaches_the_server_before_the_last(proxy: FrontProxy) -> None:
    with Http2(proxy.target) as wire:
        stream = wire.begin(PREDICT, GRPC)
        body = framed(REQUEST.SerializeToString())
        wire.send(stream, body[:-1])
        wire.ping()
        before = proxy.counter("cluster.digits.upstream_rq_active")
        wire.send(stream, body[-1:], end=True)
        assert wire.reply(stream).status == 0
    assert before == 0


@pytest.mark.parametrize(("given", "most"), [(20.0, 20.0), (None, 300.0), (10_000.0, 300.0)])
def test_the_deadline_of_a_caller_reaches_the_server(tmp_path: Path, given: float | None, most: float) -> None:
    with ScriptedServer() as server, front_proxy(tmp_path, [(server.port, server.port)]) as proxy:
        with grpc.insecure_channel(proxy.target) as channel:
            PredictionServiceStub(channel).Predict(REQUEST, timeout=given)
        (seen,) = server.deadlines
    assert seen is not None
    assert most / 2 < seen <= most + 0.1


def test_streams_pass_as_they_come(proxy: FrontProxy) -> None:
    with Http2(proxy.target) as wire:
        stream = wire.begin(PREDICT_STREAM, GRPC)
        wire.send(stream, framed(REQUEST.SerializeToString()))
        until(lambda: proxy.counter("cluster.digits.upstream_rq_active") == 1, "the server has an open stream")
        wire.send(stream, framed(REQUEST.SerializeToString()), end=True)
        reply = wire.reply(stream)
        assert reply.status == 0
        assert len(reply.messages) == 2


def test_a_stream_may_carry_more_than_the_largest_message(stub: PredictionServiceStub) -> None:
    large = PredictRequest(images=bytes(784 * 1024))
    assert sum(len(reply.digits) for reply in stub.PredictStream(iter([large] * 12), timeout=DEADLINE)) == 12 * 1024


def test_metadata_within_the_limit_is_passed_on(stub: PredictionServiceStub) -> None:
    metadata = tuple((f"x-note-{number}", "a" * 110) for number in range(90))
    assert len(stub.Predict(REQUEST, metadata=metadata, timeout=DEADLINE).digits) == 1


@pytest.mark.parametrize("size", [20_000, 50_000])
def test_too_much_metadata_is_refused_here_and_the_connections_go_on(
    proxy: FrontProxy, stub: PredictionServiceStub, size: int
) -> None:
    """A connection to a server carries the calls of many callers: no caller may cause its end."""
    assert len(stub.Predict(REQUEST, timeout=DEADLINE).digits) == 1

    def passed_on() -> int:
        return proxy.counter("cluster.digits.upstream_rq_total")

    before = passed_on(), proxy.counter("cluster.digits.upstream_cx_destroy")
    status, _ = refusal(lambda: stub.Predict(REQUEST, metadata=(("x-note", "a" * size),), timeout=DEADLINE))
    assert status == "INTERNAL"
    assert len(stub.Predict(REQUEST, timeout=DEADLINE).digits) == 1
    assert (passed_on(), proxy.counter("cluster.digits.upstream_cx_destroy")) == (before[0] + 1, before[1])


def test_a_caller_may_name_its_request_and_learns_nothing_about_the_proxy(stub: PredictionServiceStub) -> None:
    call = stub.Predict.with_call(REQUEST, metadata=(("x-request-id", "mine-1"),), timeout=DEADLINE)[1]
    told = {*call.initial_metadata(), *call.trailing_metadata()}
    assert not [key for key, _ in told if key.startswith("x-envoy") or key == "server"]


def test_over_http_a_body_over_the_limit_is_413(proxy: FrontProxy) -> None:
    url = f"{proxy.web}/v2/models/digits/infer"
    with pytest.raises(urllib.error.HTTPError, match="413") as refused:
        urllib.request.urlopen(urllib.request.Request(url, data=bytes(LIMIT + 1)), timeout=DEADLINE)
    refused.value.close()


def test_prometheus_reads_the_figures_of_the_proxy_and_nothing_else_of_its_admin_page(proxy: FrontProxy) -> None:
    with urllib.request.urlopen(f"{proxy.metrics}/stats/prometheus", timeout=10) as page:
        assert b"envoy_cluster_upstream_rq_total" in page.read()
    for forbidden in ("/config_dump", "/quitquitquit", "/"):
        with pytest.raises(urllib.error.HTTPError, match="404") as refused:
            urllib.request.urlopen(f"{proxy.metrics}{forbidden}", timeout=10)
        refused.value.close()


def test_the_configuration_uses_nothing_deprecated_or_unfinished(server: ServerProcess, tmp_path: Path) -> None:
    with front_proxy(tmp_path, [ports_of(server)]):
        log = (tmp_path / "envoy.log").read_text()
    assert "eprecated" not in log
    assert "work-in-progress" not in log


def on_this_machine_with(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, on_this_machine.__file__, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)


def test_the_command_explains_itself_and_names_what_is_wrong(tmp_path: Path) -> None:
    helped = on_this_machine_with("--help")
    assert helped.returncode == 0
    assert "GRPC_PORT:HTTP_PORT" in helped.stdout
    for arguments, sentence in {
        ("50051",): "expected the two ports of a server",
        ("--tls", str(tmp_path), "1:2"): "has no tls.crt and no tls.key",
        ("--port", "smtp=25", "1:2"): "no port has the name 'smtp'",
        (): "the following arguments are required",
    }.items():
        refused = on_this_machine_with(*arguments)
        assert refused.returncode == 2
        assert sentence in refused.stderr
        assert "Traceback" not in refused.stderr


def test_the_command_runs_a_proxy_that_answers_calls_in_flight_when_it_is_stopped(server: ServerProcess) -> None:
    ports = {name: free_port() for name in on_this_machine.PORTS}
    servers = ":".join(map(str, ports_of(server)))
    flags = [f"--port={name}={port}" for name, port in ports.items()]
    command = [sys.executable, on_this_machine.__file__, servers, *flags]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as running:
        with grpc.insecure_channel(f"127.0.0.1:{ports['grpc']}") as channel:
            stub = PredictionServiceStub(channel)
            assert len(stub.Predict(REQUEST, timeout=DEADLINE, wait_for_ready=True).digits) == 1
            with Http2(f"127.0.0.1:{ports['grpc']}") as wire:
                stream = wire.begin(PREDICT, GRPC)
                wire.send(stream, framed(REQUEST.SerializeToString())[:-1])
                wire.ping()
                running.terminate()
                wire.ping()
                wire.send(stream, b"\0", end=True)
                assert wire.reply(stream).status == 0
        assert running.wait(STOP_SECONDS) == 0
