"""Calls of predict that wait in a client while a scripted server holds an RPC back."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from digits.v1.prediction_pb2 import PredictRequest, PredictResponse
from digits_client import Client, Prediction
from support.client.scripted import Answer, ScriptedServer
from support.waiting import until

Calls = Callable[..., "Future[Prediction]"]


def waiting(client: Any) -> int:
    """How many calls wait in the client for an RPC to return."""
    return int(client.stats().images_waiting)


def joined(client: Any) -> int:
    """How many calls have joined a shared RPC so far."""
    stats = client.stats()
    return int(stats.images_sent + stats.images_waiting)


def hold(script: ScriptedServer, client: Client, call: Calls) -> "Future[Prediction]":
    """One call that has reached the server and is held there."""
    before = len(script.requests)
    held = call(client, 200)
    until(lambda: len(script.requests) == before + 1, "the first call is at the server")
    return held


def gather(client: Client, call: Calls, values: range, **settings: Any) -> "list[Future[Prediction]]":
    """Calls that wait in the client behind a held RPC."""
    before = joined(client)
    calls = [call(client, value, **settings) for value in values]
    until(lambda: joined(client) == before + len(values), "all have joined")
    return calls


def digits(calls: "list[Future[Prediction]]") -> list[int]:
    return [one.result(30).digit for one in calls]


def one_then(first: Answer, rest: Answer) -> Answer:
    """Answers the first RPC with one and all others with the other."""
    lock = threading.Lock()
    seen = [0]

    def answer(request: PredictRequest) -> PredictResponse:
        with lock:
            seen[0] += 1
            number = seen[0]
        return (first if number == 1 else rest)(request)

    return answer
