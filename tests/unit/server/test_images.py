"""Pixels and pictures to uint8[N, 28, 28]."""

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from digits_server.errors import InvalidRequest
from digits_server.pictures.images import from_file, from_pixels, normalise

MAX_PIXELS = 1_000_000


def png(picture: Image.Image) -> bytes:
    file = BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def stroke(height: int, width: int, *, ink: int, paper: int) -> NDArray[np.uint8]:
    """A vertical bar off the middle of a page."""
    page = np.full((height, width), paper, np.uint8)
    page[height // 10 : height // 2, width // 8 : width // 4] = ink
    return page


def centre_of_mass(image: NDArray[np.uint8]) -> tuple[float, float]:
    rows, columns = np.indices(image.shape)
    return float((rows * image).sum() / image.sum()), float((columns * image).sum() / image.sum())


@given(st.binary(max_size=3000))
def test_raw_pixels_are_taken_as_they_are_or_refused_by_their_length(pixels: bytes) -> None:
    if pixels and len(pixels) % 784 == 0:
        assert from_pixels(pixels).tobytes() == pixels
    else:
        with pytest.raises(InvalidRequest, match=f"multiple of 784 bytes.*got {len(pixels)}"):
            from_pixels(pixels)


@pytest.mark.parametrize("count", [1, 2, 50])
def test_raw_pixels_are_not_copied(count: int) -> None:
    pixels = bytes(784 * count)
    images = from_pixels(pixels)
    assert images.shape == (count, 28, 28)
    assert np.shares_memory(images, np.frombuffer(pixels, np.uint8))


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(30, 400),
    width=st.integers(30, 400),
    contrast=st.integers(40, 255),
    dark=st.booleans(),
    tint=st.sampled_from([(1.0, 1.0, 1.0), (0.3, 1.0, 0.6), (1.0, 0.5, 0.2)]),
)
def test_a_picture_becomes_light_ink_of_20_pixels_centred_by_mass(
    height: int, width: int, contrast: int, dark: bool, tint: tuple[float, float, float]
) -> None:
    ink, paper = (255 - contrast, 255) if dark else (contrast, 0)
    image = normalise((stroke(height, width, ink=ink, paper=paper)[:, :, None] * np.array(tint)).astype(np.uint8))
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    assert image.shape == (28, 28)
    assert image.dtype == np.uint8
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    assert image.max() == 255
    assert np.allclose(centre_of_mass(image), 13.5, atol=0.51)


def test_a_picture_in_the_form_of_the_set_stays_as_it_is_and_its_negative_is_turned() -> None:
    image = np.zeros((28, 28), np.uint8)
    image[4:20, 10:13] = 200
    assert np.array_equal(from_file(png(Image.fromarray(image)), "file", MAX_PIXELS), image)
    assert np.array_equal(from_file(png(Image.fromarray(255 - image)), "file", MAX_PIXELS), image)


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (3, 2), (28, 28)])
def test_pictures_of_any_proportion_are_answered_or_refused_never_a_crash(size: tuple[int, int]) -> None:
    page = np.full((*size, 3), 255, np.uint8)
    page[size[0] // 2, size[1] // 2] = 0
    try:
        assert normalise(page).shape == (28, 28)
    except InvalidRequest as refusal:
        assert "even shade" in refusal.message


@settings(max_examples=100, deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))))
def test_any_pixels_give_an_image_or_a_refusal(picture: NDArray[np.uint8]) -> None:
    try:
        image = normalise(picture)
    except InvalidRequest as refusal:
        assert "even shade" in refusal.message
    else:
        assert image.shape == (28, 28)
        assert image.dtype == np.uint8
