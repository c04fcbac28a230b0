"""One HTTP/2 connection with frames of the test's choice, for traffic that no gRPC library would send."""

import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from digits.v1.prediction_pb2 import PredictRequest

DEADLINE = 30.0
"""Deadline of any reply, in seconds."""

GRPC = {"content-type": "application/grpc", "te": "trailers"}
PREDICT = "/digits.v1.PredictionService/Predict"


def framed(message: bytes, compressed: int = 0) -> bytes:
    """`message` with the prefix of gRPC."""
    return bytes([compressed]) + len(message).to_bytes(4, "big") + message


@dataclass
class Reply:
    """The reply on one stream. If it has headers only, `trailers` are the same headers."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    trailers: dict[str, str] = field(default_factory=dict)
    ended: bool = False

    @property
    def status(self) -> int:
        """The gRPC status."""
        return int((self.trailers or self.headers)["grpc-status"])

    @property
    def message(self) -> str:
        """The gRPC message as it is on the wire."""
        return (self.trailers or self.headers).get("grpc-message", "")

    @property
    def messages(self) -> list[bytes]:
        """The messages of the body."""
        found, rest = [], self.body
        while rest:
            end = 5 + int.from_bytes(rest[1:5], "big")
            assert rest[0] == 0
            assert len(rest) >= end
            found.append(rest[5:end])
            rest = rest[end:]
        return found


class Http2:
    """A connection to "host:port". Streams are numbers."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._authority = target
        self._socket = socket.create_connection((host, int(port)), timeout=DEADLINE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._connection.initiate_connection()
        self._replies: dict[int, Reply] = {}
        self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def begin(self, path: str, headers: dict[str, str], *, method: str = "POST", end: bool = False) -> int:
        stream = self._connection.get_next_available_stream_id()
        pseudo = {":method": method, ":scheme": "http", ":path": path, ":authority": self._authority}
        self._connection.send_headers(stream, [*pseudo.items(), *headers.items()], end_stream=end)
        self._replies[stream] = Reply()
        self._flush()
        return stream

    def send(self, stream: int, piece: bytes, *, end: bool = False) -> None:
        """Sends one DATA frame as soon as the server's window allows it; StreamClosedError if it is answered before."""
        while self._connection.local_flow_control_window(stream) < len(piece):
            if self._replies[stream].ended:
                raise h2.exceptions.StreamClosedError(stream)
            self._read()
        self._connection.send_data(stream, piece, end_stream=end)
        self._flush()

    def reset(self, stream: int) -> None:
        self._connection.reset_stream(stream)
        self._flush()

    def ping(self) -> None:
        """Returns when the server has read all earlier data."""
        self._answered = False
        self._connection.ping(b"all read")
        self._flush()
        while not self._answered:
            self._read()

    def reply(self, stream: int) -> Reply:
        """The whole reply; fails if the deadline passes first."""
        reply = self._replies[stream]
        while not reply.ended:
            self._read()
        return reply

    def so_far(self, stream: int) -> Reply:
        """The part of a reply that has been read so far."""
        return self._replies[stream]

    def wait_for_messages(self, stream: int, count: int) -> None:
        """Returns when a reply has this many messages; fails if it ends, or the deadline passes, before."""
        while len(self._replies[stream].body) < 5 or len(self._replies[stream].messages) < count:
            assert not self._replies[stream].ended, self._replies[stream]
            self._read()

    def call(self, path: str, pieces: Iterable[bytes], headers: dict[str, str] | None = None) -> Reply:
        """One call, with each piece in its own DATA frame."""
        stream = self.begin(path, GRPC | (headers or {}))
        for piece in pieces:
            self.send(stream, piece)
        self.send(stream, b"", end=True)
        return self.reply(stream)

    def _read(self) -> None:
        data = self._socket.recv(65536)
        assert data, "the connection was closed"
        for event in self._connection.receive_data(data):
            self._take(event)
        self._flush()

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            self._replies[event.stream_id].headers = _texts(event.headers)
        elif isinstance(event, h2.events.TrailersReceived):
            self._replies[event.stream_id].trailers = _texts(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            self._replies[event.stream_id].body += event.data
            self._connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded | h2.events.StreamReset) and event.stream_id is not None:
            self._replies[event.stream_id].ended = True
        elif isinstance(event, h2.events.PingAckReceived):
            self._answered = True

    def _flush(self) -> None:
        self._socket.sendall(self._connection.data_to_send())


def is_served(target: str) -> bool:
    """Whether a prediction on a new connection is answered."""
    try:
        with Http2(target) as wire:
            return wire.call(PREDICT, [framed(PredictRequest(images=bytes(784)).SerializeToString())]).status == 0
    except (OSError, AssertionError):
        return False


def _texts(headers: Iterable[tuple[object, object]]) -> dict[str, str]:
    return {str(name): str(value) for name, value in headers}
