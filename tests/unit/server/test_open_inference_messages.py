"""Malformed messages of the Open Inference Protocol over gRPC: a sentence for each, and never a failure."""

from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from support.calls.open_inference import grpc_message, grpc_request, images_tensor

from digits.inference.inference_pb2 import ModelInferRequest
from digits_server.errors import InvalidRequest
from digits_server.open_inference import grpc
from digits_server.open_inference.inputs import images_or_files
from digits_server.open_inference.tensors import requested

PIXELS = {"uint_contents": [0] * 784}
BAD_GRPC: dict[str, tuple[dict[str, Any], str]] = {
    "no input": ({}, "expected one tensor, images or image_files, got 0"),
    "an input of another name": ({"inputs": [images_tensor(name="x", contents=PIXELS)]}, "got one of another name"),
    "the same input twice": ({"inputs": [images_tensor(contents=PIXELS)] * 2}, "expected one tensor"),
    "raw and typed": (
        {"inputs": [images_tensor(contents=PIXELS)], "raw_input_contents": [bytes(784)]},
        "expected none beside",
    ),
    "two raw contents for one input": (
        {"inputs": [images_tensor()], "raw_input_contents": [b"", b""]},
        "one for each of 1",
    ),
    "no contents": ({"inputs": [images_tensor()]}, "expected 784 elements"),
    "one byte short": ({"inputs": [images_tensor()], "raw_input_contents": [bytes(783)]}, "expected 784 bytes"),
    "one number over": ({"inputs": [images_tensor(contents={"uint_contents": [0] * 785})]}, "got 785"),
    "a number above 255": ({"inputs": [images_tensor(contents={"uint_contents": [256] * 784})]}, "got a number above"),
    "an unknown datatype": ({"inputs": [images_tensor(datatype="INT8", contents=PIXELS)]}, "datatype UINT8 or FP32"),
    "no datatype": ({"inputs": [images_tensor(datatype="", contents=PIXELS)]}, "datatype UINT8 or FP32"),
    "contents of another type": (
        {"inputs": [images_tensor(datatype="FP32", contents=PIXELS)]},
        "expected fp32_contents",
    ),
    "no shape": ({"inputs": [images_tensor(shape=[], contents=PIXELS)]}, "got []"),
    "no image": ({"inputs": [images_tensor(shape=[0, 784])]}, "N at least 1, got [0, 784]"),
    "a negative size": ({"inputs": [images_tensor(shape=[-1, 784], contents=PIXELS)]}, "got [-1, 784]"),
    "sizes whose product overflows": ({"inputs": [images_tensor(shape=[2**62, 784], contents=PIXELS)]}, "got 784"),
    "a thousand dimensions": ({"inputs": [images_tensor(shape=[1] * 1000, contents=PIXELS)]}, "…]"),
    "images on their side": ({"inputs": [images_tensor(shape=[784, 1], contents=PIXELS)]}, "[N, 28, 28]"),
    "an unknown output": (
        {"inputs": [images_tensor(contents=PIXELS)], "outputs": [{"name": "x"}]},
        "names among digits",
    ),
    "the same output twice": (
        {"inputs": [images_tensor(contents=PIXELS)], "outputs": [{"name": "digits"}] * 2},
        "each at most once",
    ),
    "files as pixels": ({"inputs": [images_tensor(name="image_files", contents=PIXELS)]}, "datatype BYTES"),
    "files in two columns": (
        {"inputs": [images_tensor(name="image_files", datatype="BYTES", shape=[1, 2])]},
        "the shape [N] or [N, 1]",
    ),
    "fewer files than the shape says": (
        {
            "inputs": [
                images_tensor(name="image_files", datatype="BYTES", shape=[2], contents={"bytes_contents": [b"a"]})
            ]
        },
        "expected 2 files",
    ),
    "raw files cut off": (
        {
            "inputs": [images_tensor(name="image_files", datatype="BYTES", shape=[1])],
            "raw_input_contents": [b"\5\0\0\0ab"],
        },
        "end in the middle",
    ),
    "raw files cut off in a length": (
        {"inputs": [images_tensor(name="image_files", datatype="BYTES", shape=[1])], "raw_input_contents": [b"\0\0"]},
        "end in the middle",
    ),
    "classification asked for": (
        {
            "inputs": [images_tensor(contents=PIXELS)],
            "outputs": [{"name": "digits", "parameters": {"classification": {"int64_param": 3}}}],
        },
        "classification is not supported",
    ),
    "shared memory": (
        {"inputs": [images_tensor(parameters={"shared_memory_region": {"string_param": "r"}})]},
        "shared_memory_region is not supported",
    ),
}


@pytest.mark.parametrize("case", BAD_GRPC)
def test_a_malformed_message_is_refused_with_a_sentence(case: str) -> None:
    fields, words = BAD_GRPC[case]
    with pytest.raises(InvalidRequest) as refusal:
        ask_grpc(grpc_message(**fields))
    assert words in refusal.value.message
    assert len(refusal.value.message) < 300


@given(st.booleans(), st.data())
def test_no_mutation_of_a_message_does_worse_than_being_refused(raw: bool, data: st.DataObject) -> None:
    message = grpc_request(np.zeros((1, 784), np.uint8), [1, 784], raw=raw, outputs=["digits"])
    body = bytearray(message.SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(80, len(body) - 1)))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with suppress(DecodeError, InvalidRequest):
        ask_grpc(ModelInferRequest.FromString(bytes(body)))


TENSORS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["images", "image_files", ""]),
        "datatype": st.sampled_from(["UINT8", "FP32", "BYTES", "INT64", ""]),
        "shape": st.lists(st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 1, 28, 784]), max_size=5),
        "contents": st.fixed_dictionaries(
            {},
            optional={
                "uint_contents": st.lists(st.integers(0, 2**32 - 1), max_size=9),
                "fp32_contents": st.lists(st.floats(width=32), max_size=9),
                "int64_contents": st.lists(st.integers(-(2**63), 2**63 - 1), max_size=9),
                "bytes_contents": st.lists(st.binary(max_size=9), max_size=9),
            },
        ),
    },
)


@given(st.lists(TENSORS, max_size=3), st.lists(st.binary(max_size=20), max_size=3))
def test_no_tensors_at_all_do_worse_than_being_refused(inputs: list[dict[str, Any]], raw: list[bytes]) -> None:
    with suppress(InvalidRequest):
        ask_grpc(grpc_message(inputs=inputs, raw_input_contents=raw))


def ask_grpc(message: ModelInferRequest) -> None:
    question, _ = grpc.infer_request(message.SerializeToString())
    requested(question.outputs)
    images_or_files(question.inputs, 64)
