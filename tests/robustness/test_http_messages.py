"""The worst bodies for every part of a request in JSON: none blocks the event loop.

The parts come from the server's own structures, so a new field is covered automatically.
"""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
from support.calls.open_inference import post
from support.calls.probe import Probe
from support.machine.usage import Usage
from support.records import Record
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess

from digits_server.open_inference.rest import InputJson, OutputJson, RequestJson

pytestmark = OVER_BOTH_TRANSPORTS

INFER = "/v2/models/digits/infer"
LARGEST = 4 * 1024 * 1024
ROOM = 3_000
"""Bytes of a body beside its worst part."""

TRIES = 10
"""Repetitions of a body if a probe waits too long: the machine itself stalls sometimes, so the shortest wait counts."""

PROMISED, MOST = 0.020, 1.0
"""Seconds that a probe waits beside a body: what is promised, on a machine that does nothing else, and what is asserted
on any."""

MOST_MEMORY = 100.0
"""MiB."""

FILLS = {
    "ones": "1",
    "beyond float32": "1e308",
    "slow numbers": "123.45678901234567890123e-5",
    "bytes": '""',
    "base64": '"QUFBQQ=="',
    "lists": "[]",
    "lists of one": "[1]",
    "maps": "{}",
    "maps of one": '{"a":1}',
    "truths": "true",
}
"""Elements of a list as long as it may be."""


def worst_values() -> Iterator[tuple[str, str]]:
    """JSON values of nearly the largest size, by name."""
    for name, element in FILLS.items():
        yield name, "[" + ",".join([element] * ((LARGEST - ROOM) // (len(element) + 1))) + "]"
    yield "an open list in a list, and so on", "[" * (LARGEST - ROOM)
    yield "a map in a map, and so on", '{"a":' * ((LARGEST - ROOM) // 5)
    yield "a map of many names", "{" + ",".join(f'"{number:06x}":0' for number in range((LARGEST - ROOM) // 11)) + "}"
    yield "a long string", '"' + "x" * (LARGEST - ROOM) + '"'
    yield "a string of escapes", '"' + "\\u2028" * ((LARGEST - ROOM) // 6) + '"'
    yield "a long number", "1" * (LARGEST - ROOM)
    yield "space", " " * (LARGEST - ROOM) + "0"


def bodies() -> Iterator[tuple[str, bytes]]:
    """Requests with one of those values for each existing field, and for an unknown field."""
    tensor: dict[str, Any] = {"name": "images", "datatype": "UINT8", "shape": [1, 784], "data": [0] * 784}
    for where, kind in (("", RequestJson), ("inputs", InputJson), ("outputs", OutputJson)):
        for name in (*(field.encode_name for field in msgspec.structs.fields(kind)), "unknown"):
            for what, value in worst_values():
                message: dict[str, Any] = {"inputs": [dict(tensor)], "outputs": [{"name": "digits"}]}
                (message[where][0] if where else message)[name] = "@"
                yield f"{where}.{name}: {what}", json.dumps(message).replace('"@"', value).encode()


def fitting_tensors() -> Iterator[tuple[str, bytes]]:
    """Tensors whose data fits their shape in every form, so that all of it is read."""
    for datatype in ("UINT8", "FP32"):
        for what, element in FILLS.items():
            images = (LARGEST - ROOM) // ((len(element) + 1) * 784)
            data = "[" + ",".join([element] * (images * 784)) + "]"
            for shape in ([images, 784], [images, 28, 28, 1]):
                tensor = {"name": "images", "datatype": datatype, "shape": shape, "data": "@"}
                yield f"{datatype} {shape[1:]}: {what}", json.dumps({"inputs": [tensor]}).replace('"@"', data).encode()
        images = (LARGEST - ROOM) // (784 * 4 + 200)
        nested = np.full((images, 28, 28, 1), 7).tolist()
        tensor = {"name": "images", "datatype": datatype, "shape": [images, 28, 28, 1], "data": nested}
        yield f"{datatype}: nested", json.dumps({"inputs": [tensor]}, separators=(",", ":")).encode()
    files = (LARGEST - ROOM) // 64
    none = {"name": "image_files", "datatype": "BYTES", "shape": [64, 1], "data": "@"}
    for what, element in FILLS.items():
        data = "[" + ",".join([element] * ((LARGEST - ROOM) // (len(element) + 1))) + "]"
        yield f"BYTES: {what}", json.dumps({"inputs": [none]}).replace('"@"', data).encode()
    many = {"name": "image_files", "datatype": "BYTES", "shape": [64], "data": ["A" * (files // 4 * 4 - 8)] * 64}
    yield "files", json.dumps({"inputs": [many]}).encode()


@pytest.mark.parametrize("kind", [bodies, fitting_tensors])
def test_no_body_holds_the_event_loop(kind: Any, server: ServerProcess, record: Record, *, full: bool) -> None:
    server_memory = Usage(server.process.pid)
    resident = server_memory.resident
    server_memory.forget_peak()
    waits: dict[str, float] = {}
    with Probe(server) as probe:
        for name, body in kind():
            assert len(body) <= LARGEST
            tries = []
            for _ in range(TRIES if full else 1):
                probe.longest = 0.0
                assert post(server.http + INFER, body)[0] in (200, 400, 413), name
                tries.append(probe.longest)
                if tries[-1] <= PROMISED:
                    break
            waits[name] = min(tries)
    worst = max(waits, key=lambda name: waits[name])
    grown = server_memory.peak - resident
    what = "parts of a JSON body" if kind is bodies else "JSON tensors that fit their shape"
    record(
        f"worst {what}, 4 MiB each: a probe's longest wait (20 ms); memory",
        f"{1000 * waits[worst]:.0f} ms ({worst}; of {len(waits)}); + {grown:.0f} MiB",
        met=waits[worst] <= PROMISED and grown <= MOST_MEMORY,
    )
    assert waits[worst] <= MOST, worst
    assert grown <= MOST_MEMORY
