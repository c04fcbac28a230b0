"""A source of images, read in a separate task, so that its pauses do not delay answers."""

import asyncio
from collections import deque
from typing import Any

from digits_client._coalescing.calls import Kind
from digits_client._inputs.chunks import Chunk, Chunker, async_chunks
from digits_client._settings import Sizes


class Reader:
    """Reads a source one chunk ahead of its consumer.

    changed  set when a chunk may be available, and at the end of the source
    """

    def __init__(self, images: Any, asked: Kind, *, convert: bool, sizes: Sizes) -> None:
        """`images` and `convert` are those of `predict_iter`."""
        self.changed = asyncio.Event()
        self._chunker = Chunker(asked, sizes)
        self._chunks: deque[Chunk] = deque()
        self._taken = asyncio.Event()
        self._task = asyncio.create_task(self._read(images, convert))

    def take(self, *, incomplete: bool = False) -> Chunk | None:
        """The next chunk, if it is complete, or if an incomplete one is enough. Raises the exception of the source."""
        if self._task.done():
            self._task.result()
        if self._chunks:
            self._taken.set()
            return self._chunks.popleft()
        return next(self._chunker.rest(), None) if incomplete else None

    @property
    def ended(self) -> bool:
        """Whether all chunks have been taken."""
        return self._task.done() and not self._chunks

    async def close(self) -> None:
        """Stops reading."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self, images: Any, convert: bool) -> None:
        try:
            async for chunk in async_chunks(images, self._chunker, convert=convert, read=self.changed.set):
                while self._chunks:
                    self._taken.clear()
                    await self._taken.wait()
                self._chunks.append(chunk)
                self.changed.set()
        finally:
            self.changed.set()
