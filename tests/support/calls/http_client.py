"""HTTP requests and their replies, by the standard library's client."""

import http.client
import json
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from support.calls.rpc import DEADLINE
from support.servers.process import ServerProcess


class Reply(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def ask(server: ServerProcess, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
    connection = http.client.HTTPConnection(urlsplit(server.http).netloc, timeout=DEADLINE)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        reply = connection.getresponse()
        return Reply(reply.status, reply.headers, reply.read())
    finally:
        connection.close()
