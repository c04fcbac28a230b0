"""Malformed bodies of the Open Inference Protocol over HTTP: a sentence for each, and never a failure."""

import json
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.calls.open_inference import images_tensor, rest_request

from digits_server.errors import InvalidRequest
from digits_server.open_inference import rest
from digits_server.open_inference.inputs import images_or_files
from digits_server.open_inference.tensors import requested

FLAT = {"inputs": [images_tensor(data=[0] * 784)]}
BAD_REST: dict[str, tuple[bytes | str, str | None, str]] = {
    "nothing": (b"", None, "the request: "),
    "no JSON": (b"hello", None, "malformed"),
    "bytes that are no text": (b'{"id": "\xff"}', None, "the request: "),
    "no object": (b"[]", None, "Expected `object`"),
    "no inputs": (b"{}", None, "`inputs`"),
    "no name": (json.dumps({"inputs": [{"datatype": "UINT8", "shape": [1]}]}), None, "`name` - at `$.inputs[0]`"),
    "a negative size": (json.dumps({"inputs": [images_tensor(shape=[-1, 784])]}), None, "Expected `int` >= 0"),
    "a size of 100 digits": (json.dumps({"inputs": [images_tensor(shape=[10**100, 784])]}), None, "inputs[0].shape: "),
    "no data": (json.dumps({"inputs": [images_tensor()]}), None, "either data or the parameter binary_data_size"),
    "data and binary data": (
        json.dumps({"inputs": [images_tensor(data=[0] * 784, parameters={"binary_data_size": 784})]}),
        None,
        "either data or the parameter binary_data_size",
    ),
    "data that is no list": (json.dumps({"inputs": [images_tensor(data="x")]}), None, "images: expected a list"),
    "data that is null": (json.dumps({"inputs": [images_tensor(data=None)]}), None, "images: expected a list"),
    "a number above 255": (json.dumps({"inputs": [images_tensor(data=[256] * 784)]}), None, "got a number outside"),
    "a negative number": (json.dumps({"inputs": [images_tensor(data=[-1] * 784)]}), None, "got a number outside"),
    "fractions of levels as UINT8": (json.dumps({"inputs": [images_tensor(data=[0.5] * 784)]}), None, "got fractions"),
    "truth values": (
        json.dumps({"inputs": [images_tensor(data=[True] * 784)]}),
        None,
        "with only numbers in its lists",
    ),
    "NaN": (json.dumps({"inputs": [images_tensor(datatype="FP32", data=[float("nan")] * 784)]}), None, "malformed"),
    "beyond float32": (
        json.dumps({"inputs": [images_tensor(datatype="FP32", data=[1e300] * 784)]}),
        None,
        "from 0 to 255",
    ),
    "lists of unequal lengths": (
        json.dumps({"inputs": [images_tensor(data=[[0] * 700, [0] * 84])]}),
        None,
        "flat or nested",
    ),
    "lists nested otherwise": (
        json.dumps({"inputs": [images_tensor(shape=[1, 28, 28], data=[[0] * 784])]}),
        None,
        "flat or nested as [1, 28, 28]",
    ),
    "nested a thousand times": (
        b'{"inputs": [{"name": "images", "datatype": "UINT8", "shape": [1, 784], "data": '
        + b"[" * 500
        + b"]" * 500
        + b"}]}",
        None,
        "expected 784 elements",
    ),
    "nested without end": (b'{"parameters": {"x": ' + b"[" * 100_000, None, "the request: "),
    "a list in place of a number": (
        json.dumps({"inputs": [images_tensor(data=[[]] + [0] * 783)]}),
        None,
        "flat or nested",
    ),
    "a bracket behind a number": (
        json.dumps({"inputs": [images_tensor(data=[[0] * 784])]}).replace("[[0, 0", "[0[, 0"),
        None,
        "malformed",
    ),
    "a comma too many": (
        json.dumps({"inputs": [images_tensor(data=[0] * 783)]}).replace("0]}", "0, ]}"),
        None,
        "the request",
    ),
    "more numbers than the shape says": (json.dumps({"inputs": [images_tensor(data=[0] * 785)]}), None, "got 785"),
    "an empty list": (json.dumps({"inputs": [images_tensor(data=[])]}), None, "got 0"),
    "numbers of no size": (
        json.dumps({"inputs": [images_tensor(datatype="FP32", data=[10**40] * 784)]}),
        None,
        "valid",
    ),
    "two inputs": (
        json.dumps({"inputs": [images_tensor(data=[0] * 784)] * 2}),
        None,
        "expected one tensor",
    ),
    "parameters of 90 kB": (
        json.dumps({"inputs": [images_tensor(data=[0] * 784)], "parameters": {"x": [0] * 30_000}}),
        None,
        "parameters: expected at most 65536 bytes",
    ),
    "a shape of 90 kB": (
        json.dumps({"inputs": [images_tensor(data=[0] * 784, shape=[1] * 30_000)]}),
        None,
        "inputs[0].shape: expected at most 65536 bytes",
    ),
    "a megabyte beside the data": (
        json.dumps({"inputs": [images_tensor(data=[0] * 784)], "unknown": [0] * 300_000}),
        None,
        "the request: expected at most 262144 bytes of JSON beside the data of its tensor",
    ),
    "a large map in place of the data": (
        json.dumps({"inputs": [images_tensor(data=[{"a": [0]}] * 100_000)]}),
        None,
        "the request: expected at most 262144 bytes",
    ),
    "a comma behind the last of many numbers": (
        json.dumps({"inputs": [images_tensor(shape=[200, 784], data=[0] * 784 * 200)]}).replace("0]}]}", "0,]}]}"),
        None,
        "expected 156800 elements for the shape [200, 784], got 156801",
    ),
    "a comma in place of the last of many numbers": (
        json.dumps({"inputs": [images_tensor(shape=[200, 784], data=[0] * 784 * 200)]}).replace(" 0]}]}", "]}]}"),
        None,
        "valid JSON",
    ),
    "a thousand outputs": (
        json.dumps({"inputs": [images_tensor(data=[0] * 784)], "outputs": [{"name": ""}] * 1_000}),
        None,
        "got 1000",
    ),
    "files in place of numbers": (json.dumps({"inputs": [images_tensor(data=["AA=="] * 784)]}), None, "only numbers"),
    "numbers in place of files": (
        json.dumps({"inputs": [{"name": "image_files", "datatype": "BYTES", "shape": [2], "data": [1, 2]}]}),
        None,
        "expected 2 files in base64",
    ),
    "fewer files than the shape says": (
        json.dumps({"inputs": [{"name": "image_files", "datatype": "BYTES", "shape": [2], "data": ["AA=="]}]}),
        None,
        "expected 2 elements",
    ),
    "files that are no base64": (
        json.dumps({"inputs": [{"name": "image_files", "datatype": "BYTES", "shape": [1], "data": ["*"]}]}),
        None,
        "base64",
    ),
    "an unknown datatype": (
        json.dumps({"inputs": [images_tensor(datatype="FP64", data=[0] * 784)]}),
        None,
        "UINT8 or FP32",
    ),
    "a length that is no number": (json.dumps(FLAT), "x", "inference-header-content-length"),
    "a negative length": (json.dumps(FLAT), "-1", "inference-header-content-length"),
    "a length past the end": (json.dumps(FLAT), "9999", "at most the"),
    "a length of a thousand digits": (json.dumps(FLAT), "9" * 1000, "inference-header-content-length"),
    "a length of nothing": (json.dumps(FLAT), "0", "the request: "),
    "binary data cut off": (
        json.dumps({"inputs": [images_tensor(parameters={"binary_data_size": 784})]}),
        None,
        "binary_data_size: expected the number of bytes after the JSON, 0",
    ),
    "a negative amount of binary data": (
        json.dumps({"inputs": [images_tensor(parameters={"binary_data_size": -1})]}),
        None,
        "binary_data_size",
    ),
    "binary data left over": (json.dumps(FLAT) + " " * 9, str(len(json.dumps(FLAT))), "got 9 bytes"),
    "a form of an output that is a word": (
        json.dumps(FLAT | {"outputs": [{"name": "digits", "parameters": {"binary_data": "no"}}]}),
        None,
        "outputs[0].parameters.binary_data: expected true or false",
    ),
    "a form of all outputs that is a number": (
        json.dumps(FLAT | {"parameters": {"binary_data_output": 1}}),
        None,
        "parameters.binary_data_output: expected true or false",
    ),
    "classification asked for": (
        json.dumps(FLAT | {"outputs": [{"name": "digits", "parameters": {"classification": 1}}]}),
        None,
        "classification is not supported",
    ),
}


@pytest.mark.parametrize("case", BAD_REST)
def test_a_malformed_body_is_refused_with_a_sentence(case: str) -> None:
    body, length, words = BAD_REST[case]
    with pytest.raises(InvalidRequest) as refusal:
        ask_rest(body if isinstance(body, bytes) else body.encode(), length)
    assert words in refusal.value.message
    assert len(refusal.value.message) < 300


GOOD_BODIES = [
    rest_request(np.zeros((1, 28, 28), np.uint8), (1, 28, 28), form=form, id="a")
    for form in ("flat", "nested", "binary")
]


@given(st.sampled_from(GOOD_BODIES), st.data())
def test_no_mutation_of_a_body_does_worse_than_being_refused(
    request: tuple[bytes, dict[str, str]], data: st.DataObject
) -> None:
    body = bytearray(request[0])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(200, len(body) - 1)))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with suppress(InvalidRequest):
        ask_rest(bytes(body), request[1].get(rest.HEADER_LENGTH))


def ask_rest(body: bytes, length: str | None) -> None:
    question, _ = rest.infer_request(body, length, "digits", "")
    requested(question.outputs)
    images_or_files(question.inputs, 64)
