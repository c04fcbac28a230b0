"""The worst message of every field of every RPC: none holds the event loop, none fails the server, all get a status."""

import grpc
import pytest
from support.calls.rpc import raw_call, refusal, status_of
from support.machine.usage import Usages
from support.records import Record
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess
from support.wire.worst_messages import Worst, worst_messages

pytestmark = [OVER_BOTH_TRANSPORTS, pytest.mark.usefixtures("a_good_caller_is_served")]

MESSAGE_BYTES = 4 * 1024 * 1024 - 100
EVERY = 7
"""A short run sends each seventh message, over each transport others; the step is no multiple of what recurs, so that
each field has one."""

PROMISED_SECONDS, SECONDS = 0.025, 1.0
"""By how much the event loop may be late: what is recorded, on a quiet machine, and what is asserted on any."""

CALL_SECONDS = 60.0
EXPECTED = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED"}
LAG = "digits_event_loop_lag_seconds"


def send(channel: grpc.Channel, worst: Worst, data: bytes) -> str:
    """The status of a call with this message. Of a stream of answers the first is read."""
    both: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(worst.path)
    one: grpc.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(worst.path)
    try:
        if worst.client_streams:
            list(both(iter([data]), timeout=CALL_SECONDS))
        elif worst.server_streams:
            answers = one(data, timeout=CALL_SECONDS)
            next(iter(answers))
            answers.cancel()
        else:
            raw_call(channel, worst.path, data)
    except grpc.RpcError as error:
        return status_of(error)[0]
    return "OK"


def later_than(server: ServerProcess, seconds: float) -> float:
    """How often the event loop was late by more than this, from one reading of the page."""
    samples = server.samples()
    within = samples[f"{LAG}_bucket", frozenset({("le", str(seconds))})]
    return samples[f"{LAG}_count", frozenset()] - within


def test_the_worst_message_of_every_field_does_not_hold_the_event_loop(
    server: ServerProcess, transport: str, record: Record, *, full: bool
) -> None:
    first = 0 if transport == "grpcio" else EVERY // 2
    messages = list(worst_messages(MESSAGE_BYTES))
    assert {worst.path.split("/")[1] for worst in messages} == {
        "digits.v1.PredictionService",
        "inference.GRPCInferenceService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    sent = 0
    if full:
        Usages(server.pids).pin(0)
    begin, late = later_than(server, SECONDS), later_than(server, PROMISED_SECONDS)
    with server.channel() as channel:
        for worst in messages if full else messages[first::EVERY]:
            data = worst.make()
            assert len(data) <= MESSAGE_BYTES
            status = send(channel, worst, data)
            assert status in EXPECTED, f"{worst.path}: {worst.what}"
            sent += 1
    late, held = later_than(server, PROMISED_SECONDS) - late, later_than(server, SECONDS) - begin
    record(
        "messages of 4 MiB, the worst of every field: event loop late by over 25 ms, of all looks",
        f"{late:.0f} of {server.metric(f'{LAG}_count'):,.0f}, in {sent:,} messages",
        met=late == 0,
    )
    assert held == 0
    assert server.metric("grpc_server_handled_total", grpc_code="INTERNAL") == 0
    assert server.metric("digits_rejected_total", reason="internal") == 0
    assert not [line for line in server.stderr if "Traceback" in line]


@pytest.mark.parametrize("field", [b"\x2a\x00", b"\x32\x00"], ids=["inputs", "outputs"])
def test_millions_of_empty_tensors_are_refused_by_name(server: ServerProcess, field: bytes) -> None:
    with server.channel() as channel:
        data = field * (MESSAGE_BYTES // 2)
        status, message = refusal(lambda: raw_call(channel, "/inference.GRPCInferenceService/ModelInfer", data))
    assert status == "INVALID_ARGUMENT"
    assert message.startswith("inputs: " if field == b"\x2a\x00" else "outputs: ")
