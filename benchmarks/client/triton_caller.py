"""tritonclient calling Triton: `TARGET WORK.npz IN_FLIGHT SECONDS`, under the Python that has tritonclient."""

import asyncio
import sys

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import InferInput, InferRequestedOutput
from tritonclient.grpc.aio import InferenceServerClient

from benchmarks.client.loop import measure, work
from benchmarks.loads.open_inference import INPUT, MODEL, OUTPUT


async def call(target: str, *asked: str) -> None:
    outputs = [InferRequestedOutput(OUTPUT)]
    async with InferenceServerClient(target) as client:

        async def ask(image: NDArray[np.uint8]) -> int:
            tensor = InferInput(INPUT, [1, 28, 28], "UINT8")
            tensor.set_data_from_numpy(image[np.newaxis])
            result = await client.infer(MODEL, [tensor], outputs=outputs, client_timeout=10)
            return int(result.as_numpy(OUTPUT)[0].argmax())

        await measure(ask, work(*asked))


if __name__ == "__main__":
    asyncio.run(call(*sys.argv[1:]))
