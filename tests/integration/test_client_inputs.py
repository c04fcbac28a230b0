"""Which inputs are accepted, how they are sent, and the messages for others.

Against a server that keeps all requests.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from support.client.both import Connect
from support.client.scripted import ScriptedServer

from digits_client import Client, InvalidInput
from digits_client._limits import BYTES_PER_RPC, FILES_PER_RPC, IMAGES_PER_RPC

ZEROS: NDArray[np.uint8] = np.zeros((28, 28), np.uint8)
FORMS = "expected an array of 28 × 28, the bytes or the path of an image file, an open file, or a Pillow image; got "
REFUSED: list[tuple[Any, str]] = [
    (np.ones((28, 28), np.float32), "image: expected uint8 pixels, 0 background to 255 ink; got float32"),
    (np.ones((28, 28), np.int64), "image: expected uint8 pixels, 0 background to 255 ink; got int64"),
    (np.zeros((28, 28), complex), "image: expected uint8 pixels, 0 background to 255 ink; got complex128"),
    (np.zeros((28, 27), np.uint8), "image: expected an array of 28 × 28 or 784; got 28 × 27"),
    (np.zeros((2, 28, 28), np.uint8), "got 2 × 28 × 28: predict_batch takes several images"),
    (np.array(3, np.uint8), "image: expected an array of 28 × 28 or 784; got a single number"),
    (np.uint8(3), f"image: {FORMS}uint8"),
    (None, f"image: {FORMS}NoneType"),
    ([[0] * 28] * 28, f"image: {FORMS}list"),
    ("absent.png", "cannot read absent.png: No such file or directory"),
    (Path("absent.png"), "cannot read absent.png: No such file or directory"),
    (Path("/"), "cannot read /: Is a directory"),
    ("with\0zero.png", "embedded null byte"),
]
REFUSED_BATCHES: list[tuple[Any, str]] = [
    (np.zeros((5, 785), np.uint8), "images: expected an array of N × 28 × 28 or N × 784; got 5 × 785"),
    (np.zeros((28, 28), np.uint8), "got 28 × 28: predict takes one image"),
    (np.ones((5, 28, 28), np.float32), "images: expected uint8 pixels, 0 background to 255 ink; got float32"),
    ([ZEROS, ZEROS, np.zeros((28, 29), np.uint8)], "images[2]: expected an array of 28 × 28 or 784; got 28 × 29"),
    ([ZEROS, None], f"images[1]: {FORMS}NoneType"),
    ("docs/digit.png", "images: "),
    (b"the bytes of one file", "images: "),
    (7, "images: "),
]


@pytest.fixture(scope="module")
def shared_script() -> Iterator[ScriptedServer]:
    with ScriptedServer() as script:
        yield script


@pytest.fixture
def script(shared_script: ScriptedServer) -> ScriptedServer:
    """A server whose record of calls is empty."""
    shared_script.requests.clear()
    return shared_script


@pytest.fixture
def client(connect: Connect, script: ScriptedServer) -> Client:
    return connect(script.target)


@pytest.mark.parametrize(("image", "sentence"), REFUSED)
def test_an_invalid_image_is_refused_in_one_sentence_and_nothing_is_sent(
    client: Client, script: ScriptedServer, image: Any, sentence: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        client.predict(image)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert script.requests == []


@pytest.mark.parametrize(("images", "sentence"), REFUSED_BATCHES)
def test_an_invalid_image_in_a_batch_is_refused_by_its_position_and_nothing_is_sent(
    client: Client, script: ScriptedServer, images: Any, sentence: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        client.predict_batch(images)
    assert sentence in str(caught.value)
    assert script.requests == []


def test_an_input_error_is_a_value_error_too(client: Client) -> None:
    with pytest.raises(ValueError, match="uint8"):
        client.predict(np.ones((28, 28)))


def test_a_float_array_is_refused_with_the_sentence_that_converts_it(client: Client, script: ScriptedServer) -> None:
    images = np.random.default_rng(0).random((3, 28, 28))
    with pytest.raises(InvalidInput) as caught:
        client.predict_batch(images)
    sentence = str(caught.value).partition("for values from 0 to 1: ")[2].partition(", or convert=True")[0]
    converted = eval(sentence, {"numpy": np, "images": images})  # noqa: S307  # the promise is that it runs as it stands
    client.predict_batch(converted)
    assert script.requests[0].images == np.round(images * 255).astype(np.uint8).tobytes()


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_a_float_array_of_0_to_1_is_converted_when_asked(client: Client, script: ScriptedServer, kind: Any) -> None:
    images = np.linspace(0, 1, 3 * 784).reshape(3, 28, 28).astype(kind)
    client.predict(images[1], convert=True)
    client.predict_batch(images, convert=True)
    client.predict_batch(list(images), convert=True)
    assert list(client.predict_iter(images, convert=True))
    expected = np.round(images.astype(np.float64) * 255).astype(np.uint8)
    assert [request.images for request in script.requests] == [expected[1].tobytes(), *[expected.tobytes()] * 3]


@pytest.mark.parametrize("value", [-0.01, 1.01, np.nan, np.inf])
def test_a_float_array_beyond_0_to_1_is_refused_also_when_conversion_is_asked(client: Client, value: float) -> None:
    image = np.zeros((28, 28), np.float32)
    image[3, 4] = value
    with pytest.raises(InvalidInput, match="values from 0 to 1"):
        client.predict(image, convert=True)
    with pytest.raises(InvalidInput, match="values from 0 to 1"):
        client.predict_batch(image[np.newaxis], convert=True)


def test_uint8_stays_as_it_is_when_conversion_is_asked(client: Client, script: ScriptedServer) -> None:
    client.predict(np.ones((28, 28), np.uint8), convert=True)
    assert script.requests[0].images == bytes([1]) * 784


@pytest.mark.parametrize("version", [-1, 2**63, -(2**70)])
def test_a_version_that_cannot_be_is_refused_here(client: Client, script: ScriptedServer, version: int) -> None:
    with pytest.raises(InvalidInput, match="model_version"):
        client.predict(ZEROS, model_version=version)
    with pytest.raises(InvalidInput, match="model_version"):
        client.predict_batch([ZEROS], model_version=version)
    assert script.requests == []


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pixels=arrays.arrays(np.uint8, (28, 28)), layout=st.sampled_from(["C", "F", "strided", "reversed", "read-only"]))
def test_pixels_are_sent_row_major_with_any_layout_in_memory(
    client: Client, script: ScriptedServer, pixels: Any, layout: str
) -> None:
    script.requests.clear()
    laid_out = {
        "C": np.ascontiguousarray(pixels),
        "F": np.asfortranarray(pixels),
        "strided": np.repeat(pixels, 2, axis=1)[:, ::2],
        "reversed": pixels[::-1].copy()[::-1],
        "read-only": np.frombuffer(pixels.tobytes(), np.uint8).reshape(28, 28),
    }[layout]
    client.predict(laid_out)
    client.predict_batch(np.stack([laid_out, laid_out]))
    client.predict_batch(laid_out[np.newaxis])
    row_major = bytes(pixels.ravel().tolist())
    assert [request.images for request in script.requests] == [row_major, row_major * 2, row_major]


FILES = st.one_of(
    st.integers(1, 3).map(lambda size: bytes([size]) * (size * BYTES_PER_RPC // 3)),
    st.binary(min_size=1, max_size=20),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=st.lists(st.one_of(st.just(ZEROS), FILES), max_size=150), streamed=st.booleans())
def test_requests_stay_within_their_bounds_and_carry_every_image_once(
    client: Client, script: ScriptedServer, chosen: list[Any], streamed: bool
) -> None:
    script.requests.clear()
    answers = list(client.predict_iter(iter(chosen)) if streamed else client.predict_batch(chosen))
    first = [0 if isinstance(image, np.ndarray) else image[0] for image in chosen]
    assert [answer.digit for answer in answers] == [value % 10 for value in first]
    assert sum(script.sizes) == len(chosen)
    for request, size in zip(script.requests, script.sizes, strict=True):
        assert bool(request.images) != bool(request.image_files)
        assert size <= (FILES_PER_RPC if request.image_files else IMAGES_PER_RPC)
        assert size == 1 or request.ByteSize() <= BYTES_PER_RPC * 1.01


def test_choices_travel_with_every_request(client: Client, script: ScriptedServer) -> None:
    images = np.zeros((3000, 28, 28), np.uint8)
    client.predict(images[0], probabilities=True, model_version=4)
    client.predict(b"a file", probabilities=True, model_version=4)
    client.predict_batch(images, probabilities=True, model_version=4)
    client.predict_batch(list(images), probabilities=True, model_version=4)
    assert len(list(client.predict_iter(images, probabilities=True, model_version=4))) == 3000
    assert len(script.requests) == 2 + 3 * 3
    assert all(request.include_probabilities and request.model_version == 4 for request in script.requests)
