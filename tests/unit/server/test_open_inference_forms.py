"""The codecs of the Open Inference Protocol: every form of a tensor means the same."""

import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from support.calls.open_inference import grpc_message, grpc_request, grpc_tensors, rest_request, rest_tensors

from digits.inference.inference_pb2 import ModelInferRequest
from digits_server.errors import InvalidRequest
from digits_server.open_inference import grpc, rest
from digits_server.open_inference.inputs import images_or_files
from digits_server.open_inference.protocol import InferReply
from digits_server.open_inference.tensors import OUTPUTS, outputs
from digits_server.service.prediction_service import Classified

Images = NDArray[np.uint8]

SHAPES = ((28, 28), (784,), (28, 28, 1), (1, 28, 28))
IMAGES = st.integers(1, 3).flatmap(lambda count: arrays(np.uint8, (count, 28, 28)))
LEVELS = st.integers(1, 2).flatmap(
    lambda count: arrays(np.float32, (count, 28, 28), elements=st.floats(2, 255, width=32))
)


def from_grpc(message: ModelInferRequest) -> Any:
    """Through the wire, as a server reads it."""
    return images_or_files(grpc.infer_request(message.SerializeToString())[0].inputs, 64)


def from_rest(body: bytes, headers: dict[str, str]) -> Any:
    question, _ = rest.infer_request(body, headers.get(rest.HEADER_LENGTH), "digits", "")
    return images_or_files(question.inputs, 64)


@given(images=IMAGES, shape=st.sampled_from(SHAPES))
def test_the_same_pixels_in_every_form_are_the_same_images(images: Images, shape: tuple[int, ...]) -> None:
    shape = (len(images), *shape)
    for raw in (True, False):
        np.testing.assert_array_equal(from_grpc(grpc_request(images, shape, raw=raw)), images)
    for form in ("flat", "nested", "binary"):
        np.testing.assert_array_equal(from_rest(*rest_request(images, shape, form=form)), images)


@given(levels=LEVELS, shape=st.sampled_from(SHAPES))
def test_grey_levels_as_floats_are_rounded_in_every_form(levels: NDArray[np.float32], shape: tuple[int, ...]) -> None:
    shape, images = (len(levels), *shape), np.rint(levels).astype(np.uint8)
    for raw in (True, False):
        np.testing.assert_array_equal(from_grpc(grpc_request(levels, shape, raw=raw)), images)
    for form in ("flat", "nested", "binary"):
        np.testing.assert_array_equal(from_rest(*rest_request(levels, shape, form=form)), images)


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, -0.5, 255.5, 1e30])
def test_floats_that_are_not_grey_levels_are_refused(wrong: float, raw: bool) -> None:
    levels = np.full((1, 784), 100, np.float32)
    levels[0, 300] = wrong
    with pytest.raises(InvalidRequest, match="from 0 to 255"):
        from_grpc(grpc_request(levels, [1, 784], raw=raw))


def test_pixels_scaled_to_one_are_refused_and_not_taken_for_a_black_image() -> None:
    with pytest.raises(InvalidRequest, match="multiply pixels of 0 to 1 by 255"):
        from_grpc(grpc_request(np.linspace(0, 1, 784, dtype=np.float32), [1, 784], raw=True))


def test_a_blank_image_of_floats_is_an_image() -> None:
    assert not from_grpc(grpc_request(np.zeros((1, 784), np.float32), [1, 784], raw=True)).any()


@given(files=st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=5))
def test_the_same_files_in_every_form_are_the_same_files(files: list[bytes]) -> None:
    tensor: dict[str, Any] = {"name": "image_files", "datatype": "BYTES", "shape": [len(files)]}
    prefixed = b"".join(len(file).to_bytes(4, "little") + file for file in files)
    raw = grpc_message(inputs=[tensor], raw_input_contents=[prefixed])
    assert from_grpc(raw) == files
    assert from_grpc(grpc_message(inputs=[tensor | {"contents": {"bytes_contents": files}}])) == files
    texts = [base64.b64encode(file).decode() for file in files]
    assert from_rest(json.dumps({"inputs": [tensor | {"data": texts}]}).encode(), {}) == files
    column = tensor | {"shape": [len(files), 1], "data": [[text] for text in texts]}
    assert from_rest(json.dumps({"inputs": [column]}).encode(), {}) == files
    head = json.dumps({"inputs": [tensor | {"parameters": {"binary_data_size": len(prefixed)}}]}).encode()
    assert from_rest(head + prefixed, {rest.HEADER_LENGTH: str(len(head))}) == files


ANSWERS = st.integers(1, 4).flatmap(lambda count: arrays(np.float32, (count, 10), elements=st.floats(0, 1, width=32)))


@given(probabilities=ANSWERS, names=st.lists(st.sampled_from([kind.name for kind in OUTPUTS]), unique=True, min_size=1))
def test_the_same_answer_in_every_form_is_the_same_tensors(
    probabilities: NDArray[np.float32], names: list[str]
) -> None:
    digits = probabilities.argmax(axis=1).astype(np.uint8)
    answer = Classified(7, digits, probabilities.max(axis=1), probabilities)
    kinds = [next(kind for kind in OUTPUTS if kind.name == name) for name in names]
    reply = InferReply(7, outputs(kinds, answer))
    values = {"digits": digits, "confidences": answer.confidences, "probabilities": probabilities}
    wishes = [
        rest.ReplyForm(None, {names[0]: first}, others_binary=others)
        for first in (True, False)
        for others in (True, False)
    ]
    forms = [
        *(grpc_tensors(grpc.infer_response(reply, "", raw=raw)) for raw in (True, False)),
        *(rest_tensors(*rest.infer_response(reply, wish)) for wish in wishes),
    ]
    for tensors in forms:
        assert list(tensors) == names
        for name, tensor in tensors.items():
            np.testing.assert_array_equal(tensor, values[name])
