"""Image files that are damaged, of another kind or unusual: a picture seen as meant, or a sentence."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.pictures.image_files import KINDS, MAX_PIXELS, answer_or_refusal, encoded, refusal, seven

from digits_server.pictures.images import from_file


def test_a_png_whose_pixels_point_beyond_its_palette_is_a_picture_or_refused() -> None:
    data = encoded(seven("P"))
    palette = data.index(b"PLTE")
    length = int.from_bytes(data[palette - 4 : palette], "big")
    short = b"PLTE" + data[palette + 4 : palette + 7]
    chunk = struct.pack(">I", 3) + short + struct.pack(">I", zlib.crc32(short))
    answer_or_refusal(data[: palette - 4] + chunk + data[palette + 4 + length + 4 :])


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_anywhere_is_a_picture_or_refused(kind: str) -> None:
    data = encoded(seven(), kind)
    for end in range(0, len(data), max(1, len(data) // 60)):
        answer_or_refusal(data[:end])


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150, deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8))
def test_a_damaged_file_is_a_picture_or_refused(kind: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(encoded(seven(), kind))
    for at, value in changes:
        data[at % len(data)] = value
    answer_or_refusal(bytes(data))


@settings(max_examples=200, deadline=None)
@given(
    start=st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"RIFF....WEBPVP8 ", b"BM", b""]),
    rest=st.binary(max_size=400),
)
def test_bytes_that_only_begin_like_a_file_are_refused(start: bytes, rest: bytes) -> None:
    answer_or_refusal(start + rest)


SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (SVG, "svg"),
        (b"%PDF-1.7\n" + bytes(200), "pdf"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "eps"),
        (encoded(seven(), "TIFF"), "tiff"),
        (encoded(seven(), "BMP"), "bmp"),
        (encoded(seven(), "ICO"), "ico"),
        (b"PK\x03\x04" + encoded(seven()), "zip before png"),
        (b"GIF89a" + encoded(seven()), "gif before png"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_kinds_of_files_are_refused_with_any_content(data: bytes, what: str) -> None:
    expected = f"not a valid PNG, JPEG, WebP or GIF file ({len(data):,} bytes), or a damaged one"
    assert refusal(data) == expected, what


def test_a_picture_with_a_program_behind_it_is_the_picture_alone() -> None:
    data = encoded(seven())
    assert np.array_equal(
        from_file(data + SVG + b"PK\x03\x04", "file", MAX_PIXELS), from_file(data, "file", MAX_PIXELS)
    )


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_pixel_format_shows_the_same_digit(mode: str) -> None:
    expected = from_file(encoded(seven()), "file", MAX_PIXELS).astype(int)
    picture = Image.fromarray(np.asarray(seven()).astype(np.uint16) * 257) if mode == "I;16" else seven(mode)
    assert np.abs(from_file(encoded(picture), "file", MAX_PIXELS) - expected).max() <= 2


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_camera_s_orientation_is_undone(kind: str, orientation: int) -> None:
    turns = {2: [0], 3: [3], 4: [1], 5: [5], 6: [2], 7: [6], 8: [4]}  # Image.Transpose that stores it so
    stored = seven(side=160)
    for turn in turns.get(orientation, []):
        stored = stored.transpose(Image.Transpose(turn))
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = from_file(encoded(seven(side=160)), "file", MAX_PIXELS).astype(int)
    seen = from_file(encoded(stored, kind, exif=exif), "file", MAX_PIXELS)
    assert np.abs(seen - upright).mean() < 6


def test_an_exif_block_of_nonsense_does_no_harm() -> None:
    answer_or_refusal(encoded(seven(), "JPEG", exif=b"Exif\0\0MM\0\x2a\xff\xff\xff\xff" + bytes(60_000)))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_counts(kind: str) -> None:
    others = [Image.new("L", (64, 64), shade) for shade in range(0, 250, 5)]
    moving = encoded(seven(), kind, save_all=True, append_images=others, lossless=True)
    still = from_file(encoded(seven()), "file", MAX_PIXELS).astype(int)
    assert np.abs(from_file(moving, "file", MAX_PIXELS) - still).max() <= 2
