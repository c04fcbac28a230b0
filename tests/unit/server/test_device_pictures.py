"""Files as cameras, phones, scanners and screenshot tools write them: each shows the digit that a plain PNG shows."""

import re
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageDraw

import digits_server
from digits_server.pictures.files import FORMATS
from digits_server.pictures.images import from_file

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # as the server does; pytest sets its own filters

MAX_PIXELS = 4_000_000
ORIENTATION, MAKER, TAKEN, EXIF_BLOCK = 0x0112, 0x010F, 0x0132, 0x8769
FILM = b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 40 + b"\xff\xda" * 500
"""The film that phones append to a photograph; it may contain any bytes."""


def page(mode: str = "L", side: int = 160, paper: int = 255, ink: int = 0) -> Image.Image:
    """A seven."""
    image = Image.new("L", (side, side), paper)
    at = [(side * x // 64, side * y // 64) for x, y in ((18, 14), (46, 14), (30, 52))]
    ImageDraw.Draw(image).line(at, fill=ink, width=side * 5 // 64, joint="curve")
    return image.convert(mode)


def file(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    data = BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def with_chunk(png: bytes, name: bytes, data: bytes) -> bytes:
    """The PNG with one more chunk after its header."""
    return png[:33] + chunk(name, data) + png[33:]


def segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def with_segment(jpeg: bytes, marker: int, data: bytes) -> bytes:
    """The JPEG with one more segment after its start."""
    return jpeg[:2] + segment(marker, data) + jpeg[2:]


def camera_exif(orientation: int = 1, thumbnail: bytes = b"") -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION], exif[MAKER], exif[TAKEN] = orientation, "Maker", "2024:02:03 04:05:06"
    exif.get_ifd(EXIF_BLOCK)[0x9286] = thumbnail or b"ASCII\0\0\0a comment"
    return exif.tobytes()


def profile(name: str = "sRGB") -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()  # type: ignore[arg-type]


def png_16_bit_colour() -> bytes:
    """Three channels of 16 bits, which Pillow does not write."""
    levels = np.asarray(page("RGB")).astype(">u2") * 257
    rows = b"".join(b"\0" + row.tobytes() for row in levels)
    header = struct.pack(">IIBBBBB", 160, 160, 16, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def png_interlaced_grey() -> bytes:
    """Adam7 with one bit a pixel, from scanners that show a page while they read it."""
    bits = np.asarray(page()) >= 128
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    rows = b"".join(
        b"\0" + np.packbits(row).tobytes()
        for top, left, down, across in passes
        for row in bits[top::down, left::across]
    )
    header = struct.pack(">IIBBBBB", 160, 160, 1, 0, 0, 0, 1)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def several(kind: str) -> bytes:
    """A file of several frames, the digit first."""
    others = [Image.new("RGB", (160, 160), (0, shade, 0)) for shade in (40, 80, 120)]
    return file(page("RGB"), kind, save_all=True, append_images=others)


def shadowed() -> bytes:
    """A window with a soft, half transparent shadow around it, as screenshot tools cut one out."""
    picture = Image.new("RGBA", (240, 240), (0, 0, 0, 0))
    for width in range(40, 0, -4):
        ImageDraw.Draw(picture).rectangle((width, width, 239 - width, 239 - width), fill=(0, 0, 0, 2 * width % 90))
    picture.paste(page("RGBA"), (40, 40))
    return file(picture)


FILES: dict[str, Callable[[], bytes]] = {
    "camera: JPEG with EXIF and a comment": lambda: file(page("RGB"), "JPEG", exif=camera_exif(), comment=b"hello"),
    "camera: EXIF with a thumbnail that has markers": lambda: file(
        page("RGB"), "JPEG", exif=camera_exif(thumbnail=file(page("RGB", 40), "JPEG") + b"\xff\xda" * 200)
    ),
    "camera: progressive, all chroma kept": lambda: file(page("RGB"), "JPEG", progressive=True, subsampling=0),
    "camera: restart markers": lambda: file(page("RGB"), "JPEG", restart_marker_blocks=1),
    "camera: half the chroma": lambda: file(page("RGB"), "JPEG", subsampling=1),
    "camera: wide colours": lambda: file(page("RGB"), "JPEG", icc_profile=profile()),
    "camera: a large profile in many segments": lambda: file(page("RGB"), "JPEG", icc_profile=profile() * 200),
    "phone: two pictures in one file": lambda: file(
        page("RGB"), "MPO", save_all=True, append_images=[Image.new("RGB", (160, 160))]
    ),
    "phone: a film behind the photograph": lambda: file(page("RGB"), "JPEG") + FILM,
    "phone: XMP": lambda: with_segment(file(page("RGB"), "JPEG"), 0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>"),
    "phone: HDR gain map behind the photograph": lambda: file(page("RGB"), "JPEG") + file(page("L", 40), "JPEG"),
    "editor: CMYK with an Adobe segment": lambda: file(page("CMYK"), "JPEG"),
    "editor: RGB stored as such": lambda: file(page("RGB"), "JPEG", keep_rgb=True),
    "editor: Photoshop resources": lambda: with_segment(
        file(page("L"), "JPEG"), 0xED, b"Photoshop 3.0\x008BIM" + bytes(8)
    ),
    "scanner: grey JPEG with its resolution": lambda: file(page("L"), "JPEG", dpi=(600, 600)),
    "scanner: one bit a pixel": lambda: file(page("1"), dpi=(300, 300)),
    "scanner: one bit a pixel, interlaced": png_interlaced_grey,
    "scanner: grey of 16 bits": lambda: file(Image.fromarray(np.asarray(page()).astype(np.uint16) * 257)),
    "scanner: colour of 16 bits": png_16_bit_colour,
    "scanner: two and four bits a pixel": lambda: file(page("L").quantize(4), bits=2),
    "screenshot: opaque, with an alpha channel": lambda: file(page("RGBA")),
    "screenshot: a palette": lambda: file(page("P")),
    "screenshot: a palette with a transparent paper": lambda: file(
        page().quantize(2), transparency=int(np.asarray(page().quantize(2))[0, 0])
    ),
    "screenshot: times, gamma and resolution": lambda: with_chunk(
        with_chunk(file(page("RGB"), dpi=(144, 144)), b"gAMA", struct.pack(">I", 45455)), b"tIME", bytes(7)
    ),
    "screenshot: EXIF in PNG": lambda: file(page("RGB"), exif=camera_exif()),
    "screenshot: grey with alpha": lambda: file(page("LA")),
    "screenshot: WebP without loss": lambda: file(page("RGBA"), "WEBP", lossless=True),
    "web: WebP": lambda: file(page("RGB"), "WEBP"),
    "web: WebP with EXIF and a profile": lambda: file(page("RGB"), "WEBP", exif=camera_exif(), icc_profile=profile()),
    "web: GIF": lambda: file(page("P"), "GIF"),
    "web: GIF, transparent paper": lambda: file(page().quantize(2), "GIF", transparency=1, comment=b"\xff\xda" * 120),
    "web: animated GIF": lambda: several("GIF"),
    "web: animated PNG": lambda: several("PNG"),
    "web: animated WebP": lambda: several("WEBP"),
}


def plain() -> np.ndarray[Any, np.dtype[np.int64]]:
    return from_file(file(page()), "file", MAX_PIXELS).astype(int)


@pytest.mark.parametrize("make", FILES.values(), ids=FILES.keys())
def test_every_device_s_file_shows_the_digit(make: Callable[[], bytes]) -> None:
    seen = from_file(make(), "file", MAX_PIXELS).astype(int)
    assert np.abs(seen - plain()).mean() < 4


def test_a_window_with_a_soft_shadow_is_answered() -> None:
    assert from_file(shadowed(), "file", MAX_PIXELS).max() == 255


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_photograph_with_a_damaged_exif_block_is_shown_as_other_programs_show_it(kind: str) -> None:
    random, whole = Random(7), camera_exif()
    for _ in range(200):
        block = bytearray(whole)
        for _ in range(random.randint(1, 4)):
            block[random.randrange(6, len(block))] = random.randrange(256)
        cut = random.choice([None, random.randrange(6, len(block))])
        seen = from_file(file(page("RGB"), kind, exif=bytes(block[:cut])), "file", MAX_PIXELS)
        assert seen.max() == 255


def test_the_orientation_is_read_where_another_tag_is_damaged() -> None:
    """The length of the maker's name points beyond the block."""
    whole = camera_exif(orientation=3)
    damaged = whole.replace(struct.pack(">HHI", MAKER, 2, 6), struct.pack(">HHI", MAKER, 2, 60_000))
    assert damaged != whole
    turned = page("RGB").transpose(Image.Transpose.ROTATE_180)
    seen = from_file(file(turned, "JPEG", exif=damaged), "file", MAX_PIXELS).astype(int)
    assert np.abs(seen - plain()).mean() < 4


def test_bytes_that_look_like_scans_in_a_good_webp_are_not_scans() -> None:
    webp = file(page("RGB"), "WEBP")
    body = webp[12:] + b"JUNK" + struct.pack("<I", 2000) + b"\xff\xda" * 1000
    data = b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body
    assert np.abs(from_file(data, "file", MAX_PIXELS).astype(int) - plain()).mean() < 4


def test_the_file_chooser_of_the_page_offers_only_accepted_types() -> None:
    (page,) = Path(digits_server.__file__).parent.rglob("playground.html")
    (accepted,) = re.findall(r'accept="([^"]+)"', page.read_text(encoding="utf-8"))
    assert set(accepted.split(",")) == {f"image/{kind.lower()}" for kind in FORMATS}
