"""Inputs at the edge: files that cannot be read, numbers that are not finite, Pillow images that become no PNG."""

import errno
import os
from typing import Any

import numpy as np
import pytest

from digits.v1.prediction_pb2 import PredictResponse
from digits_client import InvalidInput, ServerError, UnreadableFile
from digits_client._coalescing.calls import Kind
from digits_client._inputs.arrays import pixels
from digits_client._inputs.images import encode
from digits_client._shared import predictions


class File:
    """An open file whose `read` does what the test says."""

    def __init__(self, result: Any, name: str | None = None) -> None:
        self._result = result
        if name:
            self.name = name

    def read(self) -> Any:
        if isinstance(self._result, Exception):
            raise self._result
        return self._result


@pytest.mark.parametrize("name", ["seven.png", None])
def test_an_open_file_that_cannot_be_read_is_named(name: str | None) -> None:
    broken: Any = File(OSError(errno.EIO, os.strerror(errno.EIO)), name)
    with pytest.raises(UnreadableFile, match=name or "image 3") as caught:
        encode(broken, "image 3")
    assert caught.value.errno == errno.EIO


def test_a_file_that_gives_something_else_than_bytes_is_refused_with_its_type() -> None:
    odd: Any = File(7)
    with pytest.raises(InvalidInput, match=r"image 3: expected a file whose read\(\) returns bytes; got int"):
        encode(odd, "image 3")


def test_a_pillow_image_that_cannot_become_a_png_is_refused_with_advice() -> None:
    from PIL import Image

    class Damaged(Image.Image):
        """As one that Pillow opened from a file that ends early."""

        def save(self, *_: Any, **__: Any) -> None:
            raise SyntaxError("broken data stream")

    damaged = Damaged()
    with pytest.raises(InvalidInput, match=r'image: cannot convert .* broken data stream: try image\.convert\("RGB"\)'):
        encode(damaged)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_refused_with_advice(value: float) -> None:
    image = np.zeros((28, 28))
    image[3, 4] = value
    with pytest.raises(InvalidInput, match="replace values that are not finite numbers"):
        encode(image)


@pytest.mark.parametrize("kind", [np.uint8, np.bool_, np.int64, np.float32])
def test_no_images_of_any_type_are_no_bytes(kind: Any) -> None:
    assert pixels(np.empty((0, 28, 28), kind), "images") == b""


def test_an_answer_without_the_scores_that_were_asked_for_is_an_error() -> None:
    answer = PredictResponse(digits=[3], confidences=[0.5], model_version=1)
    assert predictions(answer, 1, Kind(0, probabilities=False)).digits.tolist() == [3]
    with pytest.raises(ServerError, match="expected 1 scores of unlike, got 0"):
        predictions(answer, 1, Kind(0, probabilities=False, unlike=True))
