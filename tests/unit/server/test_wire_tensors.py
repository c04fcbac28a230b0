"""Tensors taken out of a message are the elements that protobuf would have read from it."""

from random import Random

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from support.wire.mutations import VARINTS, mutated

from digits.inference.inference_pb2 import InferTensorContents, ModelInferRequest
from digits_server.errors import InvalidRequest
from digits_server.open_inference.wire_tensors import CHUNK_BYTES, MOST_REST_BYTES, take_tensors

Elements = tuple[list[int], list[float], list[bytes]]
"""The fields uint_contents, fp32_contents and bytes_contents."""

CONTENTS = st.fixed_dictionaries(
    {},
    optional={
        "bool_contents": st.lists(st.booleans(), max_size=5),
        "int64_contents": st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5),
        "uint_contents": st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 255), max_size=40),
        "fp32_contents": st.lists(st.floats(width=32, allow_nan=False), max_size=20),
        "bytes_contents": st.lists(st.binary(max_size=9), max_size=5),
    },
)


def read(data: bytes) -> tuple[ModelInferRequest, list[Elements], list[bytes]]:
    rest, typed, raw = take_tensors(data)
    elements = [
        (
            each.unsigned("uint_contents").tolist(),
            each.floats("fp32_contents").tolist(),
            each.many_bytes("bytes_contents"),
        )
        for each in typed
    ]
    return rest, elements, [bytes(each) for each in raw]


def read_by_protobuf(data: bytes) -> tuple[ModelInferRequest, list[Elements], list[bytes]]:
    message = ModelInferRequest.FromString(data)
    elements = [
        (
            list(tensor.contents.uint_contents),
            list(tensor.contents.fp32_contents),
            list(tensor.contents.bytes_contents),
        )
        for tensor in message.inputs
    ]
    raw = list(message.raw_input_contents)
    message.ClearField("raw_input_contents")
    for tensor in message.inputs:
        tensor.ClearField("contents")
    return message, elements, raw


def same(data: bytes) -> None:
    assert repr(read(data)) == repr(read_by_protobuf(data))


@given(
    inputs=st.lists(st.tuples(st.text(max_size=5), st.lists(st.integers(-1, 9), max_size=4), CONTENTS), max_size=3),
    raw=st.lists(st.binary(max_size=9), max_size=3),
    name=st.text(max_size=300),
)
def test_every_message_is_read_as_protobuf_reads_it(
    inputs: list[tuple[str, list[int], dict[str, list[object]]]], raw: list[bytes], name: str
) -> None:
    message = ModelInferRequest(model_name=name, raw_input_contents=raw)
    for title, shape, contents in inputs:
        tensor = message.inputs.add(name=title, shape=shape)
        tensor.parameters["a"].string_param = title
        tensor.contents.CopyFrom(InferTensorContents(**contents))  # type: ignore[arg-type]
    same(message.SerializeToString())


def wrapped(contents: bytes) -> bytes:
    """The contents in wire format, as those of one input."""
    message = ModelInferRequest(inputs=[ModelInferRequest.InferInputTensor(name="images")]).SerializeToString()
    tensor = message[2:] + b"\x2a" + bytes([len(contents)]) + contents
    return b"\x2a" + bytes([len(tensor)]) + tensor


@pytest.mark.parametrize(
    "contents",
    [
        b"\x20\x05\x20\x80\x02\x22\x02\x01\x02\x20\x07",
        b"\x35\x00\x00\x80\x3f\x32\x04\x00\x00\x00\x40\x35\x00\x00\x40\x40",
        b"\x22\x00\x32\x00",
        b"\x25\x01\x02\x03\x04",
        b"\x30\x05",
        b"\x22\x06\x85\x80\x80\x80\x80\x01",
        b"\x22\x02\x80\x00",
        *(b"\x22" + bytes([len(number)]) + number for number in VARINTS[:1]),
    ],
    ids=["one by one", "floats", "nothing", "wrong type", "float as varint", "beyond 32 bits", "long zero", "longest"],
)
def test_odd_ways_to_write_elements_are_read_as_protobuf_reads_them(contents: bytes) -> None:
    same(wrapped(contents))


@pytest.mark.parametrize(
    "contents",
    [b"\x22\x01\x80", b"\x22\x0b" + b"\x80" * 10 + b"\x01", b"\x32\x03\x00\x00\x00", b"\x22\x7f\x00"],
    ids=["cut off", "too long", "part of a float", "longer than the message"],
)
def test_elements_that_end_in_the_middle_are_refused_as_protobuf_refuses_them(contents: bytes) -> None:
    data = wrapped(contents)
    with pytest.raises(DecodeError):
        ModelInferRequest.FromString(data)
    with pytest.raises(DecodeError):
        read(data)


@settings(max_examples=2000)
@given(seed=st.integers(0, 2**64))
def test_every_damaged_message_is_read_as_protobuf_reads_it_or_refused(seed: int) -> None:
    random = Random(seed)
    message = ModelInferRequest(model_name="digits", id="7")
    tensor = message.inputs.add(name="images", datatype="UINT8", shape=[1, 784])
    tensor.contents.uint_contents.extend([0, 255, 300, 2**31])
    tensor.contents.fp32_contents.extend([1, 2, 3])
    message.outputs.add(name="digits")
    data = mutated(message.SerializeToString(), random)
    try:
        expected = read_by_protobuf(data)
    except DecodeError:
        return  # errors in elements that are never read are not found
    try:
        assert repr(read(data)) == repr(expected)
    except InvalidRequest:
        assert len(data) > MOST_REST_BYTES


def test_numbers_across_the_pieces_they_are_read_in_stay_whole() -> None:
    numbers = np.random.default_rng(1).integers(0, 400, 3 * CHUNK_BYTES)
    tensor = ModelInferRequest.InferInputTensor()
    tensor.contents.uint_contents.extend(numbers.tolist())
    _, typed, _ = take_tensors(ModelInferRequest(inputs=[tensor]).SerializeToString())
    np.testing.assert_array_equal(typed[0].unsigned("uint_contents"), numbers)


def test_a_message_of_much_beside_its_tensors_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="names, shapes and parameters"):
        take_tensors(ModelInferRequest(model_name="x" * (MOST_REST_BYTES + 1)).SerializeToString())
