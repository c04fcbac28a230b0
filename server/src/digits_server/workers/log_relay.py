"""Passes on the log of a worker line by line, because the output of several processes would mix within a line."""

import asyncio
from typing import BinaryIO

MAX_LINE_BYTES = 64 * 1024
"""Longest line, in bytes; longer ones are cut."""


class Lines(asyncio.Protocol):
    """Reads one end of a pipe; writes whole lines to `output`."""

    def __init__(self, output: BinaryIO) -> None:
        self._output = output
        self._rest = b""
        self.ended = asyncio.Event()
        """Set when the other end is closed and everything was passed on."""

    def data_received(self, data: bytes) -> None:
        whole, newline, self._rest = (self._rest + data).rpartition(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            whole, newline, self._rest = whole + newline + self._rest, b"\n", b""
        self._write(whole + newline)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if self._rest:
            self._write(self._rest + b"\n")
        self.ended.set()

    def _write(self, lines: bytes) -> None:
        self._output.write(lines)
        self._output.flush()
