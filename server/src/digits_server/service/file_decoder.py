"""Image files decoded beside the event loop: one thread, a bounded wait, and no work for callers who left."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from digits_server.errors import InvalidRequest, Overloaded, RequestTooLarge, Unavailable
from digits_server.pictures.images import from_file
from digits_server.runtimes import Images

RETRY_AFTER_MS = 100
"""Milliseconds after which a refused caller may try again."""


class FileDecoder:
    """Decodes the files of one request after another.

    max_files    files in one request
    max_waiting  files of all requests that wait or are being decoded
    max_pixels   width × height of one file
    """

    def __init__(self, *, max_files: int, max_waiting: int, max_pixels: int) -> None:
        self.max_files = max_files
        self._max_waiting = max_waiting
        self._max_pixels = max_pixels
        self._waiting = 0
        self._closed = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decode")

    async def decode(self, files: Sequence[bytes]) -> Images:
        """N encoded files → uint8[N, 28, 28]. Raises InvalidRequest, RequestTooLarge, Overloaded or Unavailable."""
        if self._closed:
            raise Unavailable("the server is draining")
        if len(files) > self.max_files:
            raise RequestTooLarge(f"image_files: {len(files)} files; at most {self.max_files} (max_image_files)")
        if self._waiting + len(files) > self._max_waiting:
            raise Overloaded(
                f"{self._waiting} image files wait; at most {self._max_waiting} may (max_waiting_files)", RETRY_AFTER_MS
            )
        self._waiting += len(files)
        abandoned = threading.Event()
        work = asyncio.get_running_loop().run_in_executor(self._thread, self._decode, files, abandoned)
        work.add_done_callback(lambda done: self._done(done, len(files)))
        try:
            return await asyncio.shield(work)
        finally:
            abandoned.set()

    def close(self) -> None:
        """Takes no more files; those that wait are given up."""
        self._closed = True
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _decode(self, files: Sequence[bytes], abandoned: threading.Event) -> Images:
        images = np.empty((len(files), 28, 28), np.uint8)
        for index, data in enumerate(files):
            if abandoned.is_set():
                raise InvalidRequest("the caller left")
            images[index] = from_file(data, f"image_files[{index}]", self._max_pixels)
        return images

    def _done(self, work: "asyncio.Future[Images]", files: int) -> None:
        self._waiting -= files
        if not work.cancelled():
            work.exception()  # whoever left does not ask for it
