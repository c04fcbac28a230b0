"""A name server on this machine: it answers every question with the given IPv4 addresses."""

import socket
import struct
import threading
from types import TracebackType
from typing import Self

QUESTION = 12
"""Bytes before the question of a message (RFC 1035, 4.1)."""
ADDRESS, INTERNET = 1, 1
NO_ERROR, NO_SUCH_NAME = 0x8180, 0x8183


class NameServer:
    """Listens on entry, ends on exit. `addresses` may change at any time; without any there is no such name."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.questions = 0

    def __enter__(self) -> Self:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def target(self, port: int) -> str:
        """A gRPC target whose name this server resolves."""
        return f"dns://127.0.0.1:{self._socket.getsockname()[1]}/digits.example:{port}"

    def _serve(self) -> None:
        while True:
            query, peer = self._socket.recvfrom(512)
            if not query:
                return
            self.questions += 1
            self._socket.sendto(self._answer(query), peer)

    def _answer(self, query: bytes) -> bytes:
        end = query.index(b"\0", QUESTION) + 5
        question = query[QUESTION:end]
        kind = int.from_bytes(question[-4:-2])
        name = 0xC000 | QUESTION  # a pointer to the question's name
        record = struct.pack(">HHHIH", name, ADDRESS, INTERNET, 0, 4)  # lifetime 0: to be asked for again each time
        records = [record + socket.inet_aton(each) for each in self.addresses if kind == ADDRESS]
        code = NO_ERROR if self.addresses else NO_SUCH_NAME
        return query[:2] + struct.pack(">HHHHH", code, 1, len(records), 0, 0) + question + b"".join(records)
