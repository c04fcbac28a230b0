"""Calls a server with tritonclient or kserve, and the client of Digits, from one process; prints the digits of both.

    together.py TARGET IMAGES tritonclient|kserve

IMAGES is a .npy of uint8[N, 28, 28]. The first two do not work together in one process.
"""

import asyncio
import json
import sys
from typing import Any

import numpy as np

from digits_client import Client

TARGET, IMAGES, OTHER = sys.argv[1], np.load(sys.argv[2]), sys.argv[3]


def of_tritonclient() -> Any:
    import tritonclient.grpc

    tensor = tritonclient.grpc.InferInput("images", list(IMAGES.shape), "UINT8")
    tensor.set_data_from_numpy(IMAGES)
    with tritonclient.grpc.InferenceServerClient(TARGET) as client:
        return client.infer("digits", [tensor]).as_numpy("digits").tolist()


async def of_kserve() -> Any:
    from kserve import InferenceGRPCClient, InferInput, InferRequest

    tensor = InferInput("images", list(IMAGES.shape), "UINT8")
    tensor.set_data_from_numpy(IMAGES, binary_data=True)
    async with InferenceGRPCClient(TARGET) as client:
        reply = await client.infer(InferRequest(model_name="digits", infer_inputs=[tensor]))
        return next(output.as_numpy().tolist() for output in reply.outputs if output.name == "digits")


def of_digits() -> Any:
    from digits.inference import inference_pb2  # its names are those of the others' stubs

    with Client(TARGET) as client:
        assert inference_pb2.ServerLiveRequest.DESCRIPTOR.full_name == "inference.ServerLiveRequest"
        return client.predict_batch(IMAGES).digits.tolist()


theirs = of_tritonclient() if OTHER == "tritonclient" else asyncio.run(of_kserve())
print(json.dumps({"theirs": theirs, "ours": of_digits()}))
