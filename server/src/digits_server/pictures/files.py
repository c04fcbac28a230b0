"""Image files to pictures, within bounds whatever the file claims."""

from io import BytesIO

import numpy as np
from PIL import Image, ImageOps

from digits_server.errors import InvalidRequest, RequestTooLarge
from digits_server.pictures import WORKING_SIDE, Picture

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
"""What is decoded, known by its content, never by its name; of an animation the first frame.

Not BMP, whose compressed form Pillow unpacks in Python, slowly; not TIFF, a container of dozens of codecs; not SVG,
which is a program.
"""

MOST_SCANS = 100
"""Passes a JPEG file may make over its pixels; encoders make about ten. A scan of nothing takes 40 bytes and still a
visit to every pixel: within the size of a message, a file could keep a core busy for most of a minute."""

START_OF_SCAN = b"\xff\xda"

Image.MAX_IMAGE_PIXELS = None  # the bound is ours, exact and with its own status: `max_pixels` below


def picture_in(data: bytes, name: str, max_pixels: int) -> Picture:
    """Decodes a file: its first frame, upright, at most WORKING_SIDE pixels a side.

    `name` is the field to name in errors. RequestTooLarge beyond `max_pixels` (width × height), which is read from the
    header before any pixel is decoded; InvalidRequest for what is no such file, or a damaged one.
    """
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise RequestTooLarge(
                    f"{name}: {image.width} × {image.height} pixels; at most {max_pixels} in all (max_image_pixels)"
                )
            if image.format != "PNG" and data.count(START_OF_SCAN) > MOST_SCANS:
                raise InvalidRequest(f"{name}: expected a JPEG file of at most {MOST_SCANS} scans")
            image.draft("RGB", (WORKING_SIDE, WORKING_SIDE))
            reduced = _reduced(image)
            reduced.info.update(image.info)  # the camera's orientation
            return np.asarray(_opaque(ImageOps.exif_transpose(reduced)))
    except (RequestTooLarge, InvalidRequest):
        raise
    except Exception as error:  # Pillow raises what it meets: OSError, SyntaxError, ValueError, struct.error, …
        raise InvalidRequest(
            f"{name}: expected a whole PNG, JPEG, WebP or GIF file, got {len(data)} bytes that are none"
        ) from error


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
    """The picture in RGB; where it is transparent, on white if its ink is dark, else on black."""
    if image.mode == "RGB":
        return image
    alpha = np.asarray(image.getchannel("A"))
    dark = not alpha.any() or float(np.average(np.asarray(image.convert("L")), weights=alpha)) < 128
    paper = Image.new("RGBA", image.size, "white" if dark else "black")
    return Image.alpha_composite(paper, image).convert("RGB")
