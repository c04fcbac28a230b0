"""HTTP requests written byte by byte, as no library would send them, and the answers to them."""

import socket
from dataclasses import dataclass
from http.client import HTTPResponse

from support.calls.rpc import DEADLINE
from support.servers.process import ServerProcess


@dataclass(frozen=True)
class RawAnswer:
    """One answer: its status, its headers with names in lower case, its body."""

    status: int
    headers: dict[str, str]
    body: bytes


def connect(server: ServerProcess, seconds: float = DEADLINE) -> socket.socket:
    """A connection to the server's HTTP port."""
    host, _, port = server.http.removeprefix("http://").rpartition(":")
    return socket.create_connection((host, int(port)), timeout=seconds)


def request(method: str, target: str, *headers: str, host: str = "localhost", body: bytes = b"") -> bytes:
    """The bytes of one HTTP/1.1 request; `headers` are whole lines. The connection is closed after its answer."""
    length = [f"content-length: {len(body)}"] if body else []
    lines = [f"{method} {target} HTTP/1.1", f"host: {host}", "connection: close", *length, *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def read_answer(caller: socket.socket, method: str = "GET") -> RawAnswer:
    """The next answer on a connection. Raises OSError or HTTPException if there is no answer."""
    reply = HTTPResponse(caller, method=method)
    reply.begin()
    return RawAnswer(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())


def ask(server: ServerProcess, sent: bytes, method: str = "GET") -> RawAnswer:
    """Sends these bytes on a new connection and returns the answer."""
    with connect(server) as caller:
        caller.sendall(sent)
        return read_answer(caller, method)


def get(server: ServerProcess, target: str, *headers: str, host: str = "localhost") -> RawAnswer:
    """The answer to a GET for exactly this target."""
    return ask(server, request("GET", target, *headers, host=host))
