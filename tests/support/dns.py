"""A DNS server that answers every question for IPv4 addresses with those it is told, as a headless Service does."""

import socket
import struct
import threading
from types import TracebackType
from typing import Self

A = 1
"""The record type of an IPv4 address."""
ANSWER_TO_ONE_QUESTION = 0x8180
"""The flags of a reply without an error."""


class DnsServer:
    """Listens on a free UDP port of this machine; `addresses` may change at any time."""

    def __init__(self, addresses: list[str]) -> None:
        self.addresses = addresses
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.port))  # ends the thread
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            question, caller = self._socket.recvfrom(512)
            if not question:
                return
            self._socket.sendto(self._reply(question), caller)

    def _reply(self, message: bytes) -> bytes:
        """One question is read; its name is repeated by a pointer to it. Lifetime 0: ask again each time."""
        end = message.index(0, 12) + 5  # the name ends with a zero, then come type and class
        (kind,) = struct.unpack("!H", message[end - 4 : end - 2])
        records = [
            struct.pack("!HHHLH", 0xC00C, A, 1, 0, 4) + socket.inet_aton(address)
            for address in self.addresses
            if kind == A
        ]
        header = message[:2] + struct.pack("!HHHHH", ANSWER_TO_ONE_QUESTION, 1, len(records), 0, 0)
        return header + message[12:end] + b"".join(records)
