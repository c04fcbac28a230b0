"""Decodes image files to pictures, within bounds that hold for any file."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import numpy as np
from PIL import Image

from digits_server.errors import InvalidRequest, RequestTooLarge
from digits_server.pictures import WORKING_SIDE, Picture
from digits_server.pictures.structure import check_structure

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
"""Formats that are decoded, detected by content, never by name; of an animation the first frame.

Not BMP, whose compressed form Pillow unpacks in Python, slowly; not TIFF, a container of dozens of codecs; not SVG,
which is a program.
"""

ORIENTATION = 0x0112
"""The EXIF tag that says how the camera was held."""

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The operation that turns a picture of this orientation upright."""

Image.MAX_IMAGE_PIXELS = None  # Pillow's bound is off: `max_pixels` below is exact, and has its own status
warnings.filterwarnings("ignore", module=r"PIL\.")  # warnings about callers' files do not belong in the log


def pixels_in(data: bytes, name: str, max_pixels: int) -> int:
    """Width × height of a file, as its header says; no pixel is decoded. Raises as `picture_in` does."""
    with _opened(data, name, max_pixels) as image:
        return image.width * image.height


def picture_in(data: bytes, name: str, max_pixels: int) -> Picture:
    """Decodes a file: its first frame, upright, at most WORKING_SIDE pixels a side.

    `name` is the field to name in errors. Raises RequestTooLarge beyond `max_pixels` (width × height), which is read
    from the header before any pixel is decoded, and InvalidRequest for a file that is damaged or of another format.
    """
    with _opened(data, name, max_pixels) as image:
        image.draft("RGB", (WORKING_SIDE, WORKING_SIDE))
        return np.asarray(_opaque(_upright(_reduced(image), image)))


@contextmanager
def _opened(data: bytes, name: str, max_pixels: int) -> Iterator[Image.Image]:
    """The file, opened but not decoded. Any failure inside the context is the file's fault: an InvalidRequest."""
    check_structure(data, name)
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise RequestTooLarge(
                    f"{name}: {image.width} × {image.height} pixels; at most {max_pixels} in all (max_image_pixels)"
                )
            yield image
    except (RequestTooLarge, InvalidRequest):
        raise
    except Exception as error:  # Pillow raises errors of many types: OSError, SyntaxError, ValueError, struct.error, …
        raise InvalidRequest(
            f"{name}: not a valid PNG, JPEG, WebP or GIF file ({len(data):,} bytes), or a damaged one"
        ) from error


def _upright(picture: Image.Image, file: Image.Image) -> Image.Image:
    """`picture`, turned upright by the orientation in the file; unchanged if that cannot be read.

    Other programs show photographs with a damaged EXIF block, so this server accepts them, too.
    """
    try:
        turn = TURNS.get(file.getexif().get(ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - Pillow raises what it meets, and none of it concerns the pixels
        return picture
    return picture if turn is None else picture.transpose(turn)


def _reduced(image: Image.Image) -> Image.Image:
    """The picture as RGB or RGBA, at most WORKING_SIDE pixels a side."""
    if image.mode.startswith("I"):  # 16 bits a pixel: keep the upper eight
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    mode = "RGBA" if image.has_transparency_data else "RGB"
    if image.mode not in ("L", "RGB", "RGBA") or "transparency" in image.info:
        image = image.convert(mode)
    image.thumbnail((WORKING_SIDE, WORKING_SIDE), Image.Resampling.BOX)
    return image.convert(mode)


def _opaque(image: Image.Image) -> Image.Image:
    """The picture in RGB. Transparent parts become white if the ink is dark, otherwise black."""
    if image.mode == "RGB":
        return image
    alpha = np.asarray(image.getchannel("A"))
    dark = not alpha.any() or float(np.average(np.asarray(image.convert("L")), weights=alpha)) < 128
    paper = Image.new("RGBA", image.size, "white" if dark else "black")
    return Image.alpha_composite(paper, image).convert("RGB")
