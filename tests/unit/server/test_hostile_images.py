"""Image files made to lie, to swell or to stall a decoder: each gets a sentence, soon, in little memory."""

import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image
from support.pictures.image_files import MAX_PIXELS, START_OF_SCAN, answer_or_refusal, encoded, refusal, seven

from digits_server.pictures.images import from_file
from digits_server.pictures.structure import MOST_PARTS, MOST_SCANS


def png_claiming(width: int, height: int) -> bytes:
    """A small file whose header claims another size."""
    data = bytearray(encoded(seven()))
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def jpeg_claiming(width: int, height: int) -> bytes:
    data = bytearray(encoded(seven(), "JPEG"))
    frame = data.index(b"\xff\xc0") + 5  # after the marker, its length and the precision
    data[frame : frame + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def webp_claiming(width: int, height: int) -> bytes:
    """An animation of one small frame on a canvas of this size."""
    frame = struct.pack("<I", 0)[:3] * 2 + struct.pack("<I", 63)[:3] * 2 + bytes(4) + encoded(seven(), "WEBP")[12:]
    chunks = [
        (b"VP8X", bytes([2, 0, 0, 0]) + struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]),
        (b"ANIM", bytes(6)),
        (b"ANMF", frame),
    ]
    body = b"WEBP" + b"".join(name + struct.pack("<I", len(data)) + data for name, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def gif_claiming(width: int, height: int) -> bytes:
    data = bytearray(encoded(seven("P"), "GIF"))
    data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


@pytest.mark.parametrize(
    "bomb",
    [
        png_claiming(60_000, 60_000),
        png_claiming(2**31 - 1, 2**31 - 1),
        jpeg_claiming(65_500, 65_500),
        webp_claiming(16_383, 16_383),
        webp_claiming(2**24, 255),
        gif_claiming(65_535, 65_535),
    ],
    ids=["png", "png of 2^62", "jpeg", "webp", "webp of 2^24", "gif"],
)
def test_a_file_that_claims_more_pixels_than_allowed_is_refused_by_its_header(bomb: bytes) -> None:
    assert "at most 1000000 in all (max_image_pixels)" in refusal(bomb)


def test_a_jpeg_of_very_many_scans_is_not_scanned() -> None:
    parts = encoded(Image.new("L", (512, 512), 255), "JPEG", progressive=True).split(START_OF_SCAN)
    stalling = START_OF_SCAN.join([*parts[:3], *[parts[3]] * 20_000]) + b"\xff\xd9"
    assert f"at most {MOST_SCANS} scans" in refusal(stalling)


def segments(count: int) -> bytes:
    """A JPEG file with many empty comments."""
    data = encoded(seven(), "JPEG")
    return data[:2] + b"\xff\xfe\x00\x02" * count + data[2:]


def chunks(count: int) -> bytes:
    """A PNG file with many empty chunks."""
    data = encoded(seven())
    return data[:33] + (bytes(4) + b"aaAa" + struct.pack(">I", zlib.crc32(b"aaAa"))) * count + data[33:]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (segments(MOST_PARTS), f"expected a JPEG file of at most {MOST_PARTS} segments"),
        (chunks(MOST_PARTS), f"expected a PNG file of at most {MOST_PARTS} chunks"),
        (b"\xff\xd8" + b"\xff" * 1_000_000 + encoded(seven(), "JPEG")[2:], "bytes between its segments"),
        (b"\xff\xd8" + b"\xff\x00" * 500_000 + encoded(seven(), "JPEG")[2:], "bytes between its segments"),
    ],
    ids=["segments", "chunks", "fill bytes", "bytes of no segment"],
)
def test_a_file_of_very_many_parts_is_refused_before_they_are_visited(data: bytes, what: str) -> None:
    assert what in refusal(data)


@pytest.mark.parametrize("data", [segments(1000), chunks(1000)], ids=["segments", "chunks"])
def test_a_file_of_a_thousand_parts_is_a_picture(data: bytes) -> None:
    assert from_file(data, "file", MAX_PIXELS).shape == (28, 28)


def test_scans_hidden_where_a_decoder_finds_them_are_counted() -> None:
    """A reserved marker has no length, so a decoder continues right after it."""
    parts = encoded(Image.new("L", (512, 512), 255), "JPEG", progressive=True).split(START_OF_SCAN)
    hidden = START_OF_SCAN.join([*parts[:3], *[parts[3] + b"\xff\x02\xff\xff"] * 200]) + b"\xff\xd9"
    assert f"at most {MOST_SCANS} scans" in refusal(hidden)


@pytest.mark.parametrize("size", [(1, 1), (50_000, 1), (1, 50_000), (2, 3), (999_983, 1)])
def test_pictures_of_absurd_proportions_are_answered_or_refused(size: tuple[int, int]) -> None:
    page = Image.new("L", size, 255)
    answer_or_refusal(encoded(page))
    page.putpixel((size[0] // 2, size[1] // 2), 0)
    answer_or_refusal(encoded(page))


def test_texts_that_inflate_do_not_swell_the_decoder() -> None:
    bomb = zlib.compress(bytes(64 * 1024 * 1024), 9)
    chunk = b"zTXtComment\0\0" + bomb
    data = encoded(seven())
    text = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    answer_or_refusal(data[:33] + text + data[33:])


PEAK = """
import sys
from pathlib import Path
from digits_server.pictures.images import from_file

def peak():  # not ru_maxrss, which begins with that of the parent
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024

data = sys.stdin.buffer.read()
before = peak()
try:
    from_file(data, "file", 4096 * 4096)
    print("answered", peak() - before)
except Exception as error:
    print(type(error).__name__, peak() - before)
"""


def peak_of(data: bytes) -> tuple[str, int]:
    """The result for the file, and the growth in MiB of a separate process that decodes it."""
    ran = subprocess.run([sys.executable, "-c", PEAK], input=data, capture_output=True, check=True, timeout=60)
    outcome, mebibytes = ran.stdout.split()
    return outcome.decode(), int(mebibytes)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("PNG", "RGBA"), ("PNG", "LA"), ("PNG", "P"), ("JPEG", "CMYK"), ("WEBP", "RGB"), ("GIF", "P")],
)
def test_the_largest_picture_takes_bounded_memory(kind: str, mode: str) -> None:
    outcome, mebibytes = peak_of(encoded(Image.new(mode, (4096, 4096)), kind))
    assert outcome == "InvalidRequest"
    assert mebibytes < 20 * 16  # 20 bytes a pixel, of 16 Mi


def test_a_png_whose_pixels_inflate_to_more_than_it_claims_is_not_inflated_on() -> None:
    data, bomb = encoded(seven()), zlib.compress(bytes(256 * 1024 * 1024), 9)
    pixels = struct.pack(">I", len(bomb)) + b"IDAT" + bomb + struct.pack(">I", zlib.crc32(b"IDAT" + bomb))
    assert peak_of(data[:33] + pixels + data[-12:])[1] < 64


def test_ink_full_of_small_holes_is_answered() -> None:
    """By its outline, such ink looks much wider than it is; before, it was thinned to nothing."""
    page = np.full((300, 300), 255, np.uint8)
    page[75:225, 75:225] = 0
    for row in range(75, 225, 25):
        for column in range(75, 225, 25):
            page[row : row + 3, column : column + 3] = 255
    assert from_file(encoded(Image.fromarray(page)), "file", MAX_PIXELS).max() == 255
