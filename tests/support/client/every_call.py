"""Every call of a client, and the tokens that came with them."""

from collections.abc import Callable

from digits_client import Client
from support.client.scripted import ScriptedServer
from support.pictures.pixels import IMAGE

CALLS: dict[str, Callable[[Client], object]] = {
    "predict": lambda client: client.predict(IMAGE),
    "a file": lambda client: client.predict(b"a file"),
    "predict_batch": lambda client: client.predict_batch([IMAGE, IMAGE]),
    "predict_iter": lambda client: list(client.predict_iter([IMAGE, IMAGE])),
    "predict_stream": lambda client: list(client.predict_stream([IMAGE, IMAGE])),
    "model": lambda client: client.model(),
    "health": lambda client: client.health(),
}


def tokens(script: ScriptedServer) -> set[object]:
    """The authorization of the calls that reached the server."""
    return {dict(context.invocation_metadata()).get("authorization") for context in script.calls}
