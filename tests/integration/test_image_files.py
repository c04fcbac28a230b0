"""Image files through Predict: decoded, turned to the form of the MNIST set, and recognised."""

from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support.calls.rpc import DEADLINE
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

Images = NDArray[np.uint8]
COUNT = 64


def encoded(picture: Image.Image, kind: str) -> bytes:
    file = BytesIO()
    picture.save(file, kind)
    return file.getvalue()


def on_paper(image: Images) -> Image.Image:
    """The digit as on a photograph: dark blue on yellowish paper, larger, not centred."""
    large = Image.fromarray(image).resize((150, 150), Image.Resampling.BICUBIC)
    page = Image.new("RGB", (400, 300), (250, 245, 220))
    page.paste((20, 30, 90), (180, 40), large)
    return page


def raw(stub: PredictionServiceStub, images: Images) -> list[int]:
    return list(stub.Predict(PredictRequest(images=images.tobytes()), timeout=DEADLINE).digits)


def from_files(stub: PredictionServiceStub, files: list[bytes]) -> list[int]:
    return list(stub.Predict(PredictRequest(image_files=files), timeout=DEADLINE).digits)


@OVER_BOTH_TRANSPORTS
def test_a_png_of_the_pixels_gets_the_same_answers_as_the_pixels(
    stub: PredictionServiceStub, test_images: Images
) -> None:
    images = test_images[:COUNT]
    having = PredictRequest(images=images.tobytes(), include_probabilities=True)
    files = [encoded(Image.fromarray(image), "PNG") for image in images]
    reply = stub.Predict(PredictRequest(image_files=files, include_probabilities=True), timeout=DEADLINE)
    assert reply == stub.Predict(having, timeout=DEADLINE)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_digit_on_paper_is_recognised_as_well_as_in_the_set(
    stub: PredictionServiceStub, test_images: Images, test_labels: NDArray[np.uint8], kind: str
) -> None:
    images, labels = test_images[:COUNT], test_labels[:COUNT]
    digits = from_files(stub, [encoded(on_paper(image), kind) for image in images])
    from_set = np.mean(raw(stub, images) == labels)
    assert np.mean(digits == labels) >= from_set - 0.05


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1", "I;16", "CMYK"])
def test_any_pixel_format_of_the_same_picture_is_the_same_digit(
    stub: PredictionServiceStub, test_images: Images, mode: str
) -> None:
    page = on_paper(test_images[0]).convert("L")
    deep = np.asarray(page).astype(np.uint16) * 257
    picture = Image.fromarray(deep) if mode == "I;16" else page.convert(mode)
    assert from_files(stub, [encoded(picture, "JPEG" if mode == "CMYK" else "PNG")]) == [7]


def test_transparency_is_paper(stub: PredictionServiceStub, test_images: Images) -> None:
    ink = Image.new("RGBA", (150, 150), (0, 0, 0, 0))
    mask = Image.fromarray(test_images[0]).resize((100, 100))
    ink.paste((0, 0, 0, 255), (20, 20), mask)
    assert from_files(stub, [encoded(ink, "PNG")]) == [7]


def test_the_camera_s_rotation_is_undone(stub: PredictionServiceStub, test_images: Images) -> None:
    page = on_paper(test_images[0]).rotate(90, expand=True)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored rotated: turn a quarter clockwise to look at it
    file = BytesIO()
    page.save(file, "JPEG", exif=exif)
    assert from_files(stub, [file.getvalue()]) == [7]


@OVER_BOTH_TRANSPORTS
def test_a_photograph_with_a_damaged_exif_block_is_answered_and_leaves_no_line_in_the_log(
    server: ServerProcess, stub: PredictionServiceStub, test_images: Images
) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 1, "Maker"
    whole = exif.tobytes()
    damaged = whole.replace(b"\x01\x0f\x00\x02\x00\x00\x00\x06", b"\x01\x0f\x00\x02\x00\x00\xff\xff")
    assert damaged != whole
    file = BytesIO()
    on_paper(test_images[0]).save(file, "JPEG", exif=damaged)
    lines = len(server.stderr)
    assert from_files(stub, [file.getvalue()]) == [7]
    assert server.stderr[lines:] == []
