"""The worst bodies for every part of a request in JSON: none blocks the event loop.

The parts come from the server's own structures, so a new field is covered automatically.
"""

import json
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
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

EVERY_BODY, EVERY_TENSOR = 7, 3
"""A short run sends each seventh or third body, over each transport others. The steps are no multiples of what recurs,
so that each field and each value has some."""

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


def a_list(element: str, count: int) -> str:
    return "[" + ",".join([element] * count) + "]"


def many_names() -> str:
    return "{" + ",".join(f'"{number:06x}":0' for number in range((LARGEST - ROOM) // 11)) + "}"


def worst_values() -> Iterator[tuple[str, Callable[[], str]]]:
    """JSON values of nearly the largest size, by name; to make one takes longer than to send it."""
    for name, element in FILLS.items():
        yield name, partial(a_list, element, (LARGEST - ROOM) // (len(element) + 1))
    yield "an open list in a list, and so on", lambda: "[" * (LARGEST - ROOM)
    yield "a map in a map, and so on", lambda: '{"a":' * ((LARGEST - ROOM) // 5)
    yield "a map of many names", many_names
    yield "a long string", lambda: '"' + "x" * (LARGEST - ROOM) + '"'
    yield "a string of escapes", lambda: '"' + "\\u2028" * ((LARGEST - ROOM) // 6) + '"'
    yield "a long number", lambda: "1" * (LARGEST - ROOM)
    yield "space", lambda: " " * (LARGEST - ROOM) + "0"


def body(message: dict[str, Any], value: Callable[[], str]) -> bytes:
    """`message` with a value in place of "@"."""
    return json.dumps(message).replace('"@"', value()).encode()


def bodies() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Requests with one of those values for each existing field, and for an unknown field."""
    tensor: dict[str, Any] = {"name": "images", "datatype": "UINT8", "shape": [1, 784], "data": [0] * 784}
    for where, kind in (("", RequestJson), ("inputs", InputJson), ("outputs", OutputJson)):
        for name in (*(field.encode_name for field in msgspec.structs.fields(kind)), "unknown"):
            for what, value in worst_values():
                message: dict[str, Any] = {"inputs": [dict(tensor)], "outputs": [{"name": "digits"}]}
                (message[where][0] if where else message)[name] = "@"
                yield f"{where}.{name}: {what}", partial(body, message, value)


def fitting_tensors() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Tensors whose data fits their shape in every form, so that all of it is read."""
    for datatype in ("UINT8", "FP32"):
        for what, element in FILLS.items():
            images = (LARGEST - ROOM) // ((len(element) + 1) * 784)
            for shape in ([images, 784], [images, 28, 28, 1]):
                tensor = {"name": "images", "datatype": datatype, "shape": shape, "data": "@"}
                value = partial(a_list, element, images * 784)
                yield f"{datatype} {shape[1:]}: {what}", partial(body, {"inputs": [tensor]}, value)
        yield f"{datatype}: nested", partial(nested, datatype)
    none = {"name": "image_files", "datatype": "BYTES", "shape": [64, 1], "data": "@"}
    for what, element in FILLS.items():
        value = partial(a_list, element, (LARGEST - ROOM) // (len(element) + 1))
        yield f"BYTES: {what}", partial(body, {"inputs": [none]}, value)
    yield "files", files


def nested(datatype: str) -> bytes:
    images = (LARGEST - ROOM) // (784 * 4 + 200)
    data = np.full((images, 28, 28, 1), 7).tolist()
    tensor = {"name": "images", "datatype": datatype, "shape": [images, 28, 28, 1], "data": data}
    return json.dumps({"inputs": [tensor]}, separators=(",", ":")).encode()


def files() -> bytes:
    each = "A" * ((LARGEST - ROOM) // 64 // 4 * 4 - 8)
    many = {"name": "image_files", "datatype": "BYTES", "shape": [64], "data": [each] * 64}
    return json.dumps({"inputs": [many]}).encode()


@pytest.mark.parametrize(("kind", "every"), [(bodies, EVERY_BODY), (fitting_tensors, EVERY_TENSOR)])
def test_no_body_holds_the_event_loop(
    kind: Any, every: int, server: ServerProcess, transport: str, record: Record, *, full: bool
) -> None:
    first = 1 if transport == "grpcio" else 2
    server_memory = Usage(server.process.pid)
    resident = server_memory.resident
    server_memory.forget_peak()
    waits: dict[str, float] = {}
    with Probe(server) as probe:
        for name, make in kind() if full else islice(kind(), first, None, every):
            data = make()
            assert len(data) <= LARGEST
            tries = []
            for _ in range(TRIES if full else 1):
                probe.longest = 0.0
                assert post(server.http + INFER, data)[0] in (200, 400, 413), name
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
