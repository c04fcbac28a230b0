"""Decodes image files in background threads: connections take turns, and files of callers who left are skipped."""

from collections.abc import Sequence
from functools import partial
from time import thread_time

import numpy as np

from digits_server.errors import RequestTooLarge, Unavailable
from digits_server.pictures.files import pixels_in
from digits_server.pictures.images import from_file
from digits_server.runtimes import Images
from digits_server.service.allowance import Allowance
from digits_server.service.calls import Call
from digits_server.service.offload import Offload

SMALL_BYTES, SMALL_PIXELS = 256 * 1024, 1_000_000
"""Files of one request up to this size go to a separate thread, so that they do not wait for larger ones."""

MOST_SECONDS = 10.0
"""Processor time for the files of one request; the largest picture takes half a second."""

FILES, BYTES = "image files (max_waiting_files)", "bytes of image files (max_waiting_file_bytes)"

UNBOUNDED = 1 << 62
"""Bytes that the threads' own queues may hold. The decoder itself bounds what it gives them."""


class FileDecoder:
    """Decodes image files, one in a turn. A connection's turn comes after one file of each other connection.

    max_files           files in one request
    max_waiting         files of all requests that wait or are being decoded
    max_waiting_bytes   bytes of these files
    max_pixels          width × height of one file
    max_request_pixels  pixels of all files of a request together
    """

    def __init__(
        self, *, max_files: int, max_waiting: int, max_waiting_bytes: int, max_pixels: int, max_request_pixels: int
    ) -> None:
        self.max_files = max_files
        self._max_pixels = max_pixels
        self._max_request_pixels = max_request_pixels
        self._allowance = Allowance({FILES: max_waiting, BYTES: max_waiting_bytes})
        self._small, self._large = Offload("decode small", UNBOUNDED), Offload("decode", UNBOUNDED)
        self._closed = False

    @property
    def waiting_bytes(self) -> int:
        """Bytes of the files that wait or are being decoded."""
        return self._allowance.held(BYTES)

    async def decode(self, files: Sequence[bytes], call: Call, *, patient: bool = False) -> Images:
        """N encoded files → uint8[N, 28, 28].

        patient  waits for a place instead of being rejected, for streams, which read requests ahead

        Raises InvalidRequest, RequestTooLarge, Overloaded, DeadlineExceeded or Unavailable.
        """
        if self._closed:
            raise Unavailable("the server is draining")
        if len(files) > self.max_files:
            raise RequestTooLarge(f"image_files: {len(files)} files; at most {self.max_files} (max_image_files)")
        amounts = {FILES: len(files), BYTES: sum(map(len, files))}
        async with self._allowance.hold(amounts, call.peer, deadline=call.deadline, patient=patient):
            lane = self._small if amounts[BYTES] <= SMALL_BYTES else self._large
            pixels = await lane.run(
                partial(_pixels, files, self._max_pixels), peer=call.peer, size=1, deadline=call.deadline
            )
            if pixels > self._max_request_pixels:
                raise RequestTooLarge(
                    f"image_files: {pixels} pixels in {len(files)} files; at most {self._max_request_pixels} in one "
                    "request (max_request_pixels)"
                )
            if pixels > SMALL_PIXELS:
                lane = self._large
            return await self._decoded(files, lane, call)

    def close(self) -> None:
        """Accepts no more files, and drops those that wait."""
        self._closed = True
        self._small.close()
        self._large.close()

    async def _decoded(self, files: Sequence[bytes], lane: Offload, call: Call) -> Images:
        images = np.empty((len(files), 28, 28), np.uint8)
        seconds = 0.0
        for index, data in enumerate(files):
            if seconds > MOST_SECONDS:
                raise RequestTooLarge(
                    f"image_files: {index} of {len(files)} files took {seconds:.1f} s to decode; at most "
                    f"{MOST_SECONDS:.0f} s for one request"
                )
            one = partial(_decode, data, f"image_files[{index}]", self._max_pixels)
            images[index], spent = await lane.run(one, peer=call.peer, size=1, deadline=call.deadline)
            seconds += spent
        return images


def _pixels(files: Sequence[bytes], max_pixels: int) -> int:
    """Pixels of all files, as their headers say."""
    return sum(pixels_in(data, f"image_files[{index}]", max_pixels) for index, data in enumerate(files))


def _decode(data: bytes, name: str, max_pixels: int) -> tuple[Images, float]:
    """The image of one file, and the processor time it took, in seconds."""
    begin = thread_time()
    return from_file(data, name, max_pixels), thread_time() - begin
