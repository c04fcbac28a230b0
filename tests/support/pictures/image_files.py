"""Image files of a seven, and what the server says of files."""

from io import BytesIO
from typing import Any

import pytest
from PIL import Image, ImageDraw

from digits_server.errors import InvalidRequest, RequestTooLarge
from digits_server.pictures.images import from_file

MAX_PIXELS = 1_000_000
START_OF_SCAN = b"\xff\xda"
KINDS = ["PNG", "JPEG", "WEBP", "GIF"]


def seven(mode: str = "L", side: int = 64) -> Image.Image:
    page = Image.new("L", (side, side), 255)
    scale = side / 64
    line = [(18 * scale, 14 * scale), (46 * scale, 14 * scale), (30 * scale, 52 * scale)]
    ImageDraw.Draw(page).line(line, fill=0, width=round(5 * scale))
    return page.convert(mode)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def refusal(data: bytes) -> str:
    with pytest.raises((InvalidRequest, RequestTooLarge)) as caught:
        from_file(data, "image_files[3]", MAX_PIXELS)
    assert caught.value.message.startswith("image_files[3]: ")
    return caught.value.message.removeprefix("image_files[3]: ")


def answer_or_refusal(data: bytes) -> None:
    try:
        assert from_file(data, "image_files[3]", MAX_PIXELS).shape == (28, 28)
    except (InvalidRequest, RequestTooLarge) as answer:
        assert answer.message.startswith("image_files[3]: ")
