"""gRPC on the wire, frame by frame, as no library sends it and any network may deliver it."""

from collections.abc import Iterator
from functools import partial
from urllib.parse import unquote

import pytest
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess
from support.waiting import until
from support.wire.http2 import GRPC, Http2, framed

from digits.v1.prediction_pb2 import PredictRequest, PredictResponse

pytestmark = OVER_BOTH_TRANSPORTS

PREDICT = "/digits.v1.PredictionService/Predict"
STREAM = "/digits.v1.PredictionService/PredictStream"
OK, INVALID_ARGUMENT, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL = 0, 3, 4, 8, 13
LIMIT = 4 * 1024 * 1024


def request(images: int = 1) -> bytes:
    return framed(PredictRequest(images=bytes(784 * images)).SerializeToString())


@pytest.fixture
def wire(server: ServerProcess) -> Iterator[Http2]:
    with Http2(server.target) as connection:
        yield connection


def digits(body: list[bytes]) -> list[int]:
    """How many images each reply answers."""
    return [len(PredictResponse.FromString(message).digits) for message in body]


@pytest.mark.parametrize("cuts", [(1,), (4,), (5,), (6,), (1, 2, 3, 4, 5), (3, 700)])
def test_a_message_may_come_in_pieces_cut_anywhere(wire: Http2, cuts: tuple[int, ...]) -> None:
    whole = request()
    pieces = [whole[start:stop] for start, stop in zip((0, *cuts), (*cuts, len(whole)), strict=True)]
    reply = wire.call(PREDICT, pieces)
    assert (reply.status, digits(reply.messages)) == (OK, [1])


def test_a_message_may_come_byte_by_byte(wire: Http2) -> None:
    reply = wire.call(PREDICT, [bytes([byte]) for byte in request()])
    assert (reply.status, digits(reply.messages)) == (OK, [1])


def test_one_piece_may_hold_many_messages_and_a_part(wire: Http2) -> None:
    all_of_them = b"".join(request(images) for images in (1, 2, 3))
    reply = wire.call(STREAM, [all_of_them[:-100], all_of_them[-100:]])
    assert (reply.status, digits(reply.messages)) == (OK, [1, 2, 3])


def test_the_reply_to_a_call_has_headers_a_message_and_trailers(wire: Http2) -> None:
    reply = wire.call(PREDICT, [request()])
    assert reply.headers[":status"] == "200"
    assert reply.headers["content-type"].startswith("application/grpc")
    assert reply.trailers["grpc-status"] == "0"


def test_an_error_before_any_message_is_headers_alone(wire: Http2) -> None:
    reply = wire.call(PREDICT, [framed(b"")])
    assert (reply.status, reply.body, reply.trailers) == (INVALID_ARGUMENT, b"", {})


def test_the_message_of_an_error_is_percent_encoded_utf_8(wire: Http2) -> None:
    reply = wire.call(PREDICT, [framed(PredictRequest(images=b"?").SerializeToString())])
    assert reply.message.isascii()
    assert "(28 × 28 pixels an image)" in unquote(reply.message)


@pytest.mark.parametrize("unit", ["H", "M", "S", "m", "u", "n"])
def test_a_timeout_in_any_unit_is_understood(wire: Http2, unit: str) -> None:
    enough = {"m": "60000", "u": "60000000", "n": "99999999"}.get(unit, "60")
    reply = wire.call(PREDICT, [request()], {"grpc-timeout": enough + unit})
    assert reply.status in ((OK,) if unit != "n" else (OK, DEADLINE_EXCEEDED))  # 99,999,999 ns are the most there are


def test_a_call_whose_time_is_over_ends_as_deadline_exceeded(wire: Http2) -> None:
    stream = wire.begin(STREAM, GRPC | {"grpc-timeout": "100m"})  # and then the caller is silent
    assert wire.reply(stream).status == DEADLINE_EXCEEDED


@pytest.mark.parametrize("declared", [LIMIT + 1, 2**31, 2**32 - 1])
def test_a_message_over_the_limit_is_refused_by_its_prefix(wire: Http2, transport: str, declared: int) -> None:
    stream = wire.begin(PREDICT, GRPC)
    wire.send(stream, b"\0" + declared.to_bytes(4, "big"))  # the rest never comes
    if transport == "native":  # it waits for the whole message, and does not affect other calls
        assert wire.call(PREDICT, [request()]).status == OK
        return
    reply = wire.reply(stream)
    assert reply.status == RESOURCE_EXHAUSTED
    assert str(LIMIT) in reply.message


def test_a_stream_answers_requests_before_a_message_over_the_limit(wire: Http2) -> None:
    stream = wire.begin(STREAM, GRPC)
    wire.send(stream, request() + b"\0" + (LIMIT + 1).to_bytes(4, "big"))
    assert wire.reply(stream).status == RESOURCE_EXHAUSTED


@pytest.mark.parametrize("kind", ["application/grpc", "application/grpc+proto"])
def test_the_content_types_of_grpc_are_taken(wire: Http2, kind: str) -> None:
    assert wire.call(PREDICT, [request()], {"content-type": kind}).status == OK


def test_the_identity_is_an_encoding(wire: Http2) -> None:
    assert wire.call(PREDICT, [request()], {"grpc-encoding": "identity"}).status == OK


def test_a_message_marked_as_compressed_without_an_encoding_breaks_the_protocol(wire: Http2) -> None:
    assert wire.call(PREDICT, [framed(b"\x1f\x8b", compressed=1)]).status == INTERNAL


def test_a_reset_ends_the_call(server: ServerProcess, wire: Http2) -> None:
    started = partial(server.metric, "grpc_server_started_total", grpc_method="PredictStream")
    handled = partial(server.metric, "grpc_server_handled_total", grpc_method="PredictStream")
    before = started(), handled()
    stream = wire.begin(STREAM, GRPC)
    wire.send(stream, request())
    until(lambda: started() == before[0] + 1, "the call has begun")
    wire.reset(stream)
    until(lambda: handled() == before[1] + 1, "the call has ended, on the server too")
