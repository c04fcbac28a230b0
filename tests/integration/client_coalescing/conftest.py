"""Shared by the tests of coalescing: a gate that holds RPCs, and calls in threads."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from support.client.coalescing import Calls
from support.client.scripted import Gate, ScriptedServer
from support.pictures.pixels import image

from digits_client import Client, Prediction


@pytest.fixture(autouse=True)
def _patient(patient: None) -> None:
    """Which calls leave together does not depend on how fast the machine is."""


@pytest.fixture
def gate(script: ScriptedServer) -> Gate:
    """Holds every RPC until it is opened."""
    script.answer = gate = Gate()
    return gate


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(128) as threads:
        yield threads


@pytest.fixture
def call(threads: ThreadPoolExecutor) -> Calls:
    """Begins a predict of the image whose every pixel is `value`."""

    def begin(client: Client, value: int, **settings: Any) -> "Future[Prediction]":
        return threads.submit(client.predict, image(value), **settings)

    return begin
