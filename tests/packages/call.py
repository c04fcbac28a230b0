"""Calls a server with every method of the client, and prints the results and the installed versions as JSON.

    call.py TARGET IMAGES

IMAGES is a .npy of uint8[N, 28, 28]. Runs in an environment with only the wheels of the client and the stubs.
"""

import asyncio
import json
import platform
import sys
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits.v1 import manifest_pb2
from digits_client import AsyncClient, Client, ClientClosed, Coalescing, InvalidInput

TARGET, IMAGES = sys.argv[1], np.load(sys.argv[2])


def use_client() -> dict[str, Any]:
    with Client(TARGET) as client:
        model = client.model()
        try:
            client.predict_batch([b"not an image"])
        except InvalidInput as error:
            failed = list(error.failed or [])
        return {
            "one": client.predict(IMAGES[0]).digit,
            "many": client.predict_batch(IMAGES).digits.tolist(),
            "each": [each.digit for each in client.predict_iter(IMAGES)],
            "stream": [each.digit for each in client.predict_stream(iter(IMAGES))],
            "published": str(model.created_at),
            "parsed": manifest_pb2.Manifest.FromString(model.manifest.SerializeToString()) == model.manifest,
            "failed": failed,
        }


async def close_in_flight(coalescing: Coalescing | None) -> str:
    """The name of the error of a call that is in flight when its client is closed."""
    client = AsyncClient(TARGET, coalescing=coalescing)
    call = asyncio.create_task(client.predict(IMAGES[0]))
    await asyncio.sleep(0)  # it has been sent, and its answer needs the event loop
    await client.close()
    try:
        await call
    except ClientClosed as error:
        return type(error).__name__
    return "none"


async def use_async_client() -> dict[str, Any]:
    async def source() -> AsyncIterator[NDArray[np.uint8]]:
        for image in IMAGES:
            yield image

    closed = [await close_in_flight(coalescing) for coalescing in (Coalescing(), None)]
    async with AsyncClient(TARGET) as client:
        return {
            "closed in flight": closed,
            "async one": (await client.predict(IMAGES[0])).digit,
            "async many": (await client.predict_batch(IMAGES)).digits.tolist(),
            "async stream": [each.digit async for each in client.predict_stream(source())],
        }


found = use_client() | asyncio.run(use_async_client())
versions = {name: version(name) for name in ("digits-client", "digits-proto", "grpcio", "protobuf", "numpy")}
print(json.dumps({"answers": found, "versions": versions | {"python": platform.python_version()}}))
