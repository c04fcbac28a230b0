"""Calls a server with tritonclient, kserve and the client of Digits from one process; prints each one's digits as JSON.

    together.py TARGET IMAGES

IMAGES is a .npy of uint8[N, 28, 28].
"""

import asyncio
import json
import sys
from typing import Any

import numpy as np
import tritonclient.grpc
from kserve import InferenceGRPCClient, InferInput, InferRequest

from digits_client import Client

TARGET, IMAGES = sys.argv[1], np.load(sys.argv[2])


def of_tritonclient() -> Any:
    tensor = tritonclient.grpc.InferInput("images", list(IMAGES.shape), "UINT8")
    tensor.set_data_from_numpy(IMAGES)
    with tritonclient.grpc.InferenceServerClient(TARGET) as client:
        return client.infer("digits", [tensor]).as_numpy("digits").tolist()


async def of_kserve() -> Any:
    tensor = InferInput("images", list(IMAGES.shape), "UINT8")
    tensor.set_data_from_numpy(IMAGES, binary_data=True)
    async with InferenceGRPCClient(TARGET) as client:
        reply = await client.infer(InferRequest(model_name="digits", infer_inputs=[tensor]))
        return next(output.as_numpy().tolist() for output in reply.outputs if output.name == "digits")


def of_digits() -> Any:
    with Client(TARGET) as client:
        return client.predict_batch(IMAGES).digits.tolist()


found = {"digits_client": of_digits(), "tritonclient": of_tritonclient(), "kserve": asyncio.run(of_kserve())}
print(json.dumps(found))
