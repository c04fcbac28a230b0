"""The framing of gRPC: whatever the pieces, the same messages."""

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_server.errors import (
    BrokenProtocol,
    InvalidRequest,
    NotFound,
    Overloaded,
    RequestTooLarge,
    ServingError,
    Unimplemented,
)
from digits_server.transports.grpc_wire import (
    Deframer,
    check_encoding,
    framed,
    only_message,
    timeout_seconds,
    trailers,
)

LIMIT = 100
MESSAGES = st.lists(st.binary(max_size=LIMIT), max_size=8)


@given(MESSAGES, st.lists(st.integers(0, 900), max_size=12))
def test_messages_come_out_as_they_went_in_however_they_are_cut(messages: list[bytes], cuts: list[int]) -> None:
    body = b"".join(map(framed, messages))
    ends = sorted(min(cut, len(body)) for cut in cuts)
    deframer, found = Deframer(LIMIT), []
    for start, end in zip([0, *ends], [*ends, len(body)], strict=True):
        found += [bytes(message) for message in deframer.feed(body[start:end])]
    deframer.close()
    assert found == messages


@given(MESSAGES, st.binary(min_size=1, max_size=LIMIT))
def test_a_body_that_ends_within_a_message_is_refused(messages: list[bytes], cut: bytes) -> None:
    deframer = Deframer(LIMIT)
    body = b"".join(map(framed, [*messages, cut]))[:-1]
    assert [bytes(message) for message in deframer.feed(body)] == messages
    with pytest.raises(InvalidRequest):
        deframer.close()


@given(MESSAGES, st.integers(LIMIT + 1, 2**32 - 1))
def test_a_message_over_the_limit_is_refused_at_its_prefix_after_those_before(
    messages: list[bytes], length: int
) -> None:
    body = b"".join(map(framed, messages)) + b"\0" + length.to_bytes(4, "big")
    found = Deframer(LIMIT).feed(body)
    assert [bytes(next(found)) for _ in messages] == messages
    with pytest.raises(RequestTooLarge, match=str(LIMIT)):
        next(found)


@given(st.integers(1, 255))
def test_a_message_marked_as_compressed_breaks_the_protocol(flag: int) -> None:
    with pytest.raises(BrokenProtocol):
        list(Deframer(LIMIT).feed(bytes([flag, 0, 0, 0, 0])))


@given(st.binary(max_size=LIMIT + 10), st.binary(max_size=2))
def test_a_body_of_one_message_is_known_from_any_other(message: bytes, more: bytes) -> None:
    found = only_message(framed(message) + more, LIMIT)
    assert found == (message if not more and len(message) <= LIMIT else None)


@given(st.binary(max_size=20))
def test_any_bytes_are_messages_or_an_error_of_ours(body: bytes) -> None:
    deframer = Deframer(LIMIT)
    try:
        messages = list(deframer.feed(body))
        deframer.close()
    except ServingError:
        return
    assert b"".join(framed(bytes(message)) for message in messages) == body


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(b"2H", 7200), (b"3M", 180), (b"15S", 15), (b"250m", 0.25), (b"99999999u", 99.999999), (b"5n", 5e-9)],
)
def test_a_timeout_is_read_in_each_unit(value: bytes, seconds: float) -> None:
    assert timeout_seconds(value) == pytest.approx(seconds)


@pytest.mark.parametrize("value", [b"", b"1", b"S", b"-1S", b"1.5S", b"123456789S", b"1s", b"1S ", b"\xd9\xa1S"])
def test_what_is_no_timeout_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidRequest, match="grpc-timeout"):
        timeout_seconds(value)


def test_no_timeout_is_none() -> None:
    assert timeout_seconds(None) is None


@given(st.text())
def test_the_message_of_an_error_survives_its_header(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate is no text
        return
    fields = dict(trailers(NotFound(text)))
    assert fields[b"grpc-status"] == b"5"
    assert all(0x20 <= byte <= 0x7E for byte in fields[b"grpc-message"])
    assert unquote(fields[b"grpc-message"].decode()) == text


def test_an_overloaded_server_says_when_to_come_back() -> None:
    assert (b"grpc-retry-pushback-ms", b"70") in trailers(Overloaded("full", retry_after_ms=70))


def test_encodings_other_than_the_identity_are_refused_with_what_is_taken() -> None:
    check_encoding(None)
    check_encoding(b"identity")
    with pytest.raises(Unimplemented) as refused:
        check_encoding(b"gzip")
    assert (b"grpc-accept-encoding", b"identity") in trailers(refused.value)
