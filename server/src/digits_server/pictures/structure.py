"""Counts the parts of an image file before a decoder visits each of them.

JPEG files are read as ITU-T T.81 (annex B) describes them, PNG files as the PNG specification does (section 5).
"""

import re
from typing import NamedTuple

from digits_server.errors import InvalidRequest

MOST_PARTS = 16_384
"""Most segments of a JPEG file, or chunks of a PNG file. A file of 4 MiB has about 500 of the usual size; Pillow takes
at least 3 microseconds for each, even for an empty one."""

MOST_SCANS = 100
"""Most scans of a JPEG file; encoders write about ten. An empty scan has 40 bytes, but the decoder visits every pixel:
a file within the size of a message could keep a core busy for most of a minute."""

MOST_FILLING = 4096
"""Most bytes before the first scan of a JPEG file that do not belong to a segment; encoders do not write any."""

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"

CHUNK_BYTES = 12
"""Bytes of a PNG chunk besides its data: length, name and checksum."""

FIRST_SEGMENT, END, SCAN = 0xC0, 0xD9, 0xDA

_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
"""The end of a scan: a marker that is not data, filling or a restart."""

STRIDE = 65_536
"""Bytes searched at once: Python's lock is held meanwhile."""


class Marker(NamedTuple):
    """One marker of a JPEG file: its second byte, the unclaimed bytes before it, and where it ends."""

    code: int
    filling: int
    end: int


def check_structure(data: bytes, name: str) -> None:
    """Raises InvalidRequest, which names the field `name`, if a file has too many parts."""
    if data.startswith(PNG):
        _check_chunks(data, name)
    elif data.startswith(JPEG):
        _check_segments(data, name)


def _check_chunks(data: bytes, name: str) -> None:
    at = len(PNG)
    for _ in range(MOST_PARTS):
        if at >= len(data):
            return
        at += CHUNK_BYTES + int.from_bytes(data[at : at + 4])
    raise InvalidRequest(f"{name}: expected a PNG file of at most {MOST_PARTS} chunks")


def _check_segments(data: bytes, name: str) -> None:
    """Walks as a decoder does: from marker to marker, skipping the content of segments, until the end of the image.

    Anything after the end is another file, such as the film of a phone's photo. Inside a segment there are no markers.
    """
    at, scans, filling = len(JPEG), 0, 0
    for _ in range(MOST_PARTS):
        marker = _next_marker(data, at)
        if marker is None or marker.code == END:
            return
        at = marker.end
        filling += 0 if scans else marker.filling
        if filling > MOST_FILLING:
            raise InvalidRequest(f"{name}: expected a JPEG file of at most {MOST_FILLING} bytes between its segments")
        scans += marker.code == SCAN
        if scans > MOST_SCANS:
            raise InvalidRequest(f"{name}: expected a JPEG file of at most {MOST_SCANS} scans")
        if marker.code >= FIRST_SEGMENT:
            at += int.from_bytes(data[at : at + 2])
    raise InvalidRequest(f"{name}: expected a JPEG file of at most {MOST_PARTS} segments")


def _next_marker(data: bytes, at: int) -> Marker | None:
    """The first marker from `at` on, restarts within a scan passed over."""
    for start in range(at, len(data), STRIDE):
        if found := _MARKER.search(data, start, start + STRIDE + 1):
            return Marker(found[1][0], found.start() - at, found.end())
    return None
