"""Tensors of the Open Inference Protocol whose contents do not fit what they say: a sentence for each."""

from typing import Any

import numpy as np
import pytest

from digits_server.errors import InvalidRequest, RequestTooLarge
from digits_server.open_inference.inputs import images_or_files
from digits_server.open_inference.protocol import ModelMetadata
from digits_server.open_inference.tensors import (
    OUTPUTS,
    UNLIKE_OUTPUT,
    InputTensor,
    outputs,
)
from digits_server.service.prediction_service import Classified

MAX_FILES = 2


def levels(contents: Any, shape: tuple[int, ...] = (1, 784)) -> InputTensor:
    return InputTensor("images", "UINT8", shape, contents)


def files(contents: Any, count: int = 1) -> InputTensor:
    return InputTensor("image_files", "BYTES", (count,), contents)


@pytest.mark.parametrize(
    ("tensor", "kind", "message"),
    [
        (levels([b"x"]), InvalidRequest, "images: expected 784 numbers, got bytes"),
        (levels(np.zeros(783, np.uint8)), InvalidRequest, r"expected 784 elements for the shape \[1, 784\], got 783"),
        (levels(b"x" * 783), InvalidRequest, "images: expected 784 bytes for UINT8"),
        (files([b"x"] * 3, 3), RequestTooLarge, r"image_files: 3 files; at most 2 \(max_image_files\)"),
        (files(np.zeros(1, np.uint8)), InvalidRequest, "image_files: expected bytes, got numbers"),
        (files([b"x"], 2), InvalidRequest, "image_files: expected 2 files"),
    ],
)
def test_contents_that_do_not_fit_are_rejected(tensor: InputTensor, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        images_or_files([tensor], MAX_FILES)


def test_as_many_files_as_allowed_are_read() -> None:
    assert images_or_files([files([b"x", b"y"], MAX_FILES)], MAX_FILES) == [b"x", b"y"]


def test_scores_of_unlike_are_given_if_asked_for() -> None:
    answer = Classified(
        digits=np.array([3], np.uint8),
        confidences=np.array([1.0], np.float32),
        probabilities=np.eye(10, dtype=np.float32)[3:4],
        version=1,
        unlike=np.array([1.5], np.float32),
    )
    named = {tensor.name: tensor for tensor in outputs([*OUTPUTS, UNLIKE_OUTPUT], answer)}
    assert named["unlike"].values.tolist() == [1.5]


def test_a_model_without_scores_of_unlike_does_not_promise_them() -> None:
    assert "unlike" in ModelMetadata(versions=("1",), platform="x", has_unlike=True).properties
    assert "unlike" not in ModelMetadata(versions=("1",), platform="x").properties
