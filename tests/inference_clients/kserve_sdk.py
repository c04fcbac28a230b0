"""Calls a server with both clients of the package `kserve` and prints what it got, one JSON object a line.

    kserve_sdk.py GRPC HTTP IMAGES

GRPC is an address, HTTP a URL, IMAGES a .npy of uint8[N, 28, 28]. Runs in the environment of `make inference-clients`.
"""

import asyncio
import json
import sys
from typing import Any

import grpc
import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

IMAGES = np.load(sys.argv[3])
FORMS = [("UINT8", True), ("UINT8", False), ("FP32", True), ("FP32", False)]
"""Datatype, and whether the tensor goes raw (gRPC) or binary (REST)."""


def tell(client: str, about: str, **found: Any) -> None:
    print(json.dumps({"client": client, "about": about, **found}))


def question(datatype: str, *, binary: bool, model: str = "digits", **more: Any) -> InferRequest:
    values = IMAGES if datatype == "UINT8" else IMAGES.astype(np.float32)
    tensor = InferInput("images", list(values.shape), datatype)
    tensor.set_data_from_numpy(values, binary_data=binary)
    return InferRequest(model_name=model, infer_inputs=[tensor], request_id="an id", **more)


def tell_answer(client: str, about: str, response: Any) -> None:
    outputs = {output.name: output.as_numpy().tolist() for output in response.outputs}
    tell(client, about, id=response.id, **outputs)


async def use_grpc(address: str) -> None:
    async with InferenceGRPCClient(address) as client:
        states = [await client.is_server_live(), await client.is_server_ready(), await client.is_model_ready("digits")]
        tell("grpc", "health", states=states)
        for datatype, binary in FORMS:
            tell_answer("grpc", f"{datatype} {binary}", await client.infer(question(datatype, binary=binary)))
        try:
            await client.infer(question("UINT8", binary=True, model="cats"))
        except grpc.RpcError as error:
            tell("grpc", "another model", status=str(error.code()))


async def use_rest(url: str) -> None:
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        ready = await client.is_model_ready(url, "digits")
        tell("rest", "health", states=[await client.is_server_live(url), await client.is_server_ready(url), ready])
        for datatype, binary in FORMS:
            request = question(datatype, binary=binary, parameters={"binary_data_output": binary})
            response = await client.infer(url, request, model_name="digits")
            tell_answer("rest", f"{datatype} {binary}", response)
        try:
            await client.infer(url, question("UINT8", binary=False, model="cats"), model_name="cats")
        except httpx.HTTPStatusError as error:
            tell("rest", "another model", status=str(error.response.status_code), message=str(error))


async def main() -> None:
    await use_grpc(sys.argv[1])
    await use_rest(sys.argv[2])


asyncio.run(main())
