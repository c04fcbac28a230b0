"""The floor of the Envoy transport: a raw ASGI application in pyvoy, and no model.

    pyvoy benchmarks.serving.echo_envoy:app --port PORT

A gRPC message on the wire is one byte (0: not compressed), its length in four, and the message
(https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
"""

from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.serving.echo_reply import answer
from digits.v1.prediction_pb2 import PredictRequest

PREFIX_BYTES = 5
HEADERS = [(b"content-type", b"application/grpc")]
OK = [(b"grpc-status", b"0")]


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    if scope["type"] != "http":  # the lifespan protocol, which this application has no use for
        return
    body = b""
    more = True
    while more:
        event = await receive()
        body += event["body"]
        more = event["more_body"]
    reply = answer(PredictRequest.FromString(body[PREFIX_BYTES:])).SerializeToString()
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS, "trailers": True})
    await send({"type": "http.response.body", "body": b"\0" + len(reply).to_bytes(4, "big") + reply})
    await send({"type": "http.response.trailers", "headers": OK, "more_trailers": False})
