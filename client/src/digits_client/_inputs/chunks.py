"""Many images → requests: split by number of images and by bytes, in order, made on demand."""

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits.v1.prediction_pb2 import PredictRequest
from digits_client._coalescing.calls import Kind
from digits_client._errors import DigitsError, InvalidInput
from digits_client._inputs.arrays import check_form, pixels
from digits_client._inputs.images import Encoded, Image, blocks, content, encode, reading, reads_as_coroutine
from digits_client._settings import Sizes
from digits_client._shared import request


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of many images.

    start           the position of its first image
    count           how many it has
    request         the request for them
    rpcs_in_flight  how many of its form may be in flight at once
    """

    start: int
    count: int
    request: PredictRequest
    rpcs_in_flight: int

    @property
    def places(self) -> range:
        return range(self.start, self.start + self.count)


def chunks(images: Any, asked: Kind, *, convert: bool, sizes: Sizes) -> Generator[Chunk, None, None]:
    """Requests for many images, in their order, made on demand.

    InvalidInput, with the position, for an input that is not an image.
    """
    if isinstance(images, np.ndarray):
        yield from _array_chunks(images, asked, convert=convert, sizes=sizes)
        return
    chunker = Chunker(asked, sizes)
    for image in _several(images):
        with _at_place(chunker.place):
            encoded = encode(image, f"images[{chunker.place}]", convert=convert)
        yield from chunker.add(encoded)
    yield from chunker.rest()


async def async_chunks(
    images: Any, chunker: "Chunker", *, convert: bool, read: Callable[[], None] = lambda: None
) -> AsyncGenerator[Chunk, None]:
    """The same from asynchronous iterables, too, with files read in threads.

    read  called after each image; until the next image, the chunker may be asked for its incomplete chunk
    """
    if isinstance(images, np.ndarray):
        for chunk in _array_chunks(images, chunker.asked, convert=convert, sizes=chunker.sizes):
            yield chunk
        return
    async for image in _each(_several(images)):
        place = chunker.place
        with _at_place(place):
            sendable = await encoded(image, f"images[{place}]", convert=convert)
        for chunk in chunker.add(sendable):
            yield chunk
        read()
    for chunk in chunker.rest():
        yield chunk


async def encoded(image: Image, name: str = "image", *, convert: bool) -> Encoded:
    """`encode`, in a thread if it would block the event loop."""
    if reads_as_coroutine(image):
        upload: Any = image
        with reading(image, name):
            read = await upload.read()
        return content(read, name)
    if blocks(image):
        return await asyncio.to_thread(encode, image, name, convert=convert)
    return encode(image, name, convert=convert)


async def _each(images: Iterable[Image] | AsyncIterable[Image]) -> AsyncIterator[Image]:
    if isinstance(images, AsyncIterable):
        async for image in images:
            yield image
    else:
        for image in images:
            yield image


def located(error: DigitsError, chunk: Chunk) -> DigitsError:
    """The error of a chunk, with the positions of its images."""
    error.failed = chunk.places
    if sys.version_info >= (3, 11):  # older Pythons have no notes in tracebacks; `failed` says the same
        error.add_note(f"images[{chunk.start}:{chunk.start + chunk.count}] failed")
    return error


def _array_chunks(images: NDArray[Any], asked: Kind, *, convert: bool, sizes: Sizes) -> Iterator[Chunk]:
    """Chunks of an array of N images. Its form is checked first; values are converted one chunk at a time."""
    check_form(images, "images", several=True)
    for start in range(0, len(images), sizes.images_per_rpc):
        part = images[start : start + sizes.images_per_rpc]
        name = "images" if len(part) == len(images) else f"images[{start}:{start + len(part)}]"
        asking = request([pixels(part, name, convert=convert)], asked)
        yield Chunk(start, len(part), asking, sizes.rpcs_in_flight)


class Chunker:
    """Splits a sequence of encoded images into chunks: each of one form, bounded in images and bytes.

    asked  the options of every request
    sizes  how large a chunk may be
    """

    def __init__(self, asked: Kind, sizes: Sizes) -> None:
        self.asked = asked
        self.sizes = sizes
        self._start = 0
        self._group: list[Encoded] = []
        self._bytes = 0

    @property
    def place(self) -> int:
        """The position of the next image."""
        return self._start + len(self._group)

    def add(self, image: Encoded) -> Iterator[Chunk]:
        """The previous chunk, if the image starts a new one; and the image's own chunk, if it is full."""
        most = self.sizes.files_per_rpc if image.is_file else self.sizes.images_per_rpc
        too_large = image.is_file and self._bytes + len(image.data) > self.sizes.bytes_per_rpc
        if self._group and (too_large or image.is_file != self._group[0].is_file):
            yield from self.rest()
        self._group.append(image)
        self._bytes += len(image.data)
        if len(self._group) >= most:
            yield from self.rest()

    def rest(self) -> Iterator[Chunk]:
        """The last chunk, if there is one, or an incomplete one."""
        if self._group:
            start, group = self._start, self._group
            self._start, self._group, self._bytes = self.place, [], 0
            are_files = group[0].is_file
            in_flight = self.sizes.file_rpcs_in_flight if are_files else self.sizes.rpcs_in_flight
            asking = request([image.data for image in group], self.asked, are_files=are_files)
            yield Chunk(start, len(group), asking, in_flight)


@contextmanager
def _at_place(place: int) -> Iterator[None]:
    """Adds the position of the image to an InvalidInput."""
    try:
        yield
    except InvalidInput as error:
        error.failed = range(place, place + 1)
        raise


def _several(images: Any) -> Any:
    """The images. InvalidInput if they are one image: its characters or bytes would be taken for many."""
    # An open file would give its lines, a table of pandas the names of its columns.
    one = isinstance(images, str | bytes | bytearray | memoryview) or hasattr(images, "read")
    if one or not isinstance(images, Iterable | AsyncIterable):
        raise InvalidInput(
            "images: expected an array of N × 28 × 28 or N × 784, or several images; got one "
            f"{type(images).__name__}: predict takes one image"
        )
    if hasattr(images, "columns") and hasattr(images, "to_numpy"):
        raise InvalidInput(f"images: expected a NumPy array; got {type(images).__name__}: images.to_numpy()")
    return images
