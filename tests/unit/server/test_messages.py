"""Messages that are read and written in place are the same as with protobuf."""

from random import Random

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from support.wire.mutations import mutated

from digits.v1.prediction_pb2 import PredictRequest, PredictResponse
from digits_server.errors import InvalidRequest
from digits_server.service.messages import OneReply, Reply, Request, parse_request, serialise_reply
from digits_server.service.wire import SMALL_BYTES

LARGE = bytes(range(256)) * (SMALL_BYTES // 256)
VERSIONS = st.one_of(st.integers(0, 300), st.integers(-(2**63), 2**63 - 1))


Fields = tuple[bytes, list[bytes], int, bool, bool]


def fields(request: Request | PredictRequest) -> Fields:
    asked = request.model_version, request.include_probabilities, request.include_unlike
    return bytes(request.images), list(request.image_files), *asked


def by_protobuf(data: bytes) -> Fields:
    return fields(PredictRequest.FromString(data))


def is_read_as_protobuf_reads_it(message: bytes) -> None:
    """Fails unless the message is read as protobuf reads it, or refused where that refuses it."""
    try:
        expected = by_protobuf(message)
    except DecodeError:
        with pytest.raises((DecodeError, InvalidRequest)):  # damaged pixels may look like thousands of entries
            parse_request(message)
    else:
        assert fields(parse_request(message)) == expected


@given(
    images=st.sampled_from([b"", b"x", LARGE, LARGE + b"y"]),
    files=st.lists(st.binary(max_size=9), max_size=2),
    version=VERSIONS,
    probabilities=st.booleans(),
    unlike=st.booleans(),
)
def test_every_request_is_read_as_protobuf_reads_it(
    images: bytes, files: list[bytes], version: int, probabilities: bool, unlike: bool
) -> None:
    message = PredictRequest(
        images=images,
        image_files=files,
        model_version=version,
        include_probabilities=probabilities,
        include_unlike=unlike,
    )
    data = message.SerializeToString()
    assert fields(parse_request(data)) == (images, files, version, probabilities, unlike)
    assert fields(parse_request(memoryview(data))) == (images, files, version, probabilities, unlike)


@given(st.data())
def test_fields_after_the_pixels_are_read_or_refused_as_by_protobuf(data: st.DataObject) -> None:
    head = PredictRequest(images=LARGE).SerializeToString()
    tail = data.draw(
        st.one_of(
            st.binary(max_size=24),
            st.lists(st.sampled_from([0x0A, 0x12, 0x18, 0x20, 0x28, 0x80, 0xFF, 0, 1, 7]), max_size=24).map(bytes),
        )
    )
    cut = data.draw(st.sampled_from([0, 1, 2, 100]))
    message = (head + tail)[: -cut or None]
    try:
        expected = by_protobuf(message)
    except DecodeError:
        with pytest.raises(DecodeError):
            parse_request(message)
    else:
        assert fields(parse_request(message)) == expected


@settings(max_examples=1000)
@given(seed=st.integers(0, 2**64), version=st.sampled_from([0, 1, 300]), probabilities=st.booleans())
def test_every_damaged_request_is_read_as_protobuf_reads_it_or_refused_as_it_does(
    seed: int, version: int, probabilities: bool
) -> None:
    random = Random(seed)
    images = random.choice([bytes(784), LARGE, LARGE + bytes(range(128))])
    whole = PredictRequest(images=images, model_version=version, include_probabilities=probabilities)
    message = mutated(whole.SerializeToString(), random)
    is_read_as_protobuf_reads_it(message)


@pytest.mark.parametrize("zeros", range(9))
def test_a_length_with_zeros_in_front_is_read_as_protobuf_reads_it_or_refused_as_it_does(zeros: int) -> None:
    length = bytes([len(LARGE) & 127 | 128, len(LARGE) >> 7 | (128 if zeros else 0)])
    padded = length + b"\x80" * (zeros - 1) + b"\x00" * min(zeros, 1)
    message = b"\x0a" + padded + LARGE
    is_read_as_protobuf_reads_it(message)


def test_the_pixels_of_a_large_request_are_not_copied() -> None:
    message = bytearray(PredictRequest(images=LARGE, model_version=3).SerializeToString())
    images = parse_request(memoryview(message)).images
    message[len(message) // 2] ^= 0xFF
    assert bytes(images) != LARGE


@given(
    count=st.one_of(st.integers(1, 4), st.integers(100, 1100)),
    version=st.integers(0, 2**63 - 1),
    with_probabilities=st.booleans(),
    with_unlike=st.booleans(),
    seed=st.integers(0, 99),
)
def test_every_reply_is_written_as_protobuf_writes_it(
    count: int, version: int, with_probabilities: bool, with_unlike: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.random((count, 10), np.float32)
    digits, confidences = probabilities.argmax(axis=1).astype(np.uint8), probabilities.max(axis=1)
    rows, scores = (probabilities if with_probabilities else None), (confidences * 3 if with_unlike else None)
    data = serialise_reply(Reply(digits, confidences, version, rows, scores))
    reply = PredictResponse.FromString(data)
    assert list(reply.digits) == digits.tolist()
    assert list(reply.confidences) == confidences.tolist()
    assert list(reply.probabilities) == (probabilities.ravel().tolist() if with_probabilities else [])
    assert list(reply.unlike) == (scores.tolist() if scores is not None else [])
    assert reply.model_version == version


@given(
    digit=st.integers(0, 9),
    confidence=st.floats(0, 1, width=32),
    version=st.one_of(st.sampled_from([1, 127, 128, 16384]), st.integers(1, 2**63 - 1)),
)
def test_the_reply_to_one_image_is_the_bytes_of_protobuf(digit: int, confidence: float, version: int) -> None:
    expected = PredictResponse(digits=[digit], confidences=[confidence], model_version=version)
    assert serialise_reply(OneReply(digit, confidence, version)) == expected.SerializeToString(deterministic=True)


def test_a_message_as_long_as_that_of_one_image_is_read_by_its_content() -> None:
    file = PredictRequest(image_files=[bytes(784)]).SerializeToString()
    assert len(file) == len(PredictRequest(images=bytes(784)).SerializeToString())
    is_read_as_protobuf_reads_it(file)


@pytest.mark.parametrize("field", [b"\x20", b"\x28"], ids=["probabilities", "unlike"])
def test_every_number_but_zero_is_true(field: bytes) -> None:
    for number in (b"\x00", b"\x01", b"\x02", b"\x80\x01"):
        is_read_as_protobuf_reads_it(PredictRequest(images=LARGE).SerializeToString() + field + number)
