"""Calls a server with every client of the package `tritonclient` and prints what it got, one JSON object a line.

    triton.py GRPC HTTP IMAGES

GRPC and HTTP are addresses, IMAGES a .npy of uint8[N, 28, 28]. Runs in the environment of `make inference-clients`.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
from tritonclient.utils import InferenceServerException

FILE = Path(__file__).parents[2].joinpath("docs/digit.png").read_bytes()
IMAGES = np.load(sys.argv[3])
FILES = np.array([FILE, FILE], dtype=np.object_)
INPUTS = {"UINT8": ("images", IMAGES), "FP32": ("images", IMAGES.astype(np.float32)), "BYTES": ("image_files", FILES)}


def tell(client: str, about: str, **found: Any) -> None:
    print(json.dumps({"client": client, "about": about, **found}))


def tensor(module: Any, datatype: str, **options: Any) -> Any:
    name, values = INPUTS[datatype]
    described = module.InferInput(name, list(values.shape), datatype)
    described.set_data_from_numpy(values, **options)
    return described


def tell_answer(client: str, about: str, result: Any) -> None:
    tell(client, about, **{name: result.as_numpy(name).tolist() for name in ("digits", "confidences", "probabilities")})


def tell_refusal(client: str, about: str, call: Callable[[], object]) -> None:
    try:
        call()
    except InferenceServerException as error:
        tell(client, about, status=error.status(), message=error.message())


def use(name: str, module: Any, address: str) -> None:
    with module.InferenceServerClient(address) as client:
        ready = [client.is_model_ready("digits"), client.is_model_ready("digits", "1")]
        tell(name, "health", states=[client.is_server_live(), client.is_server_ready(), *ready])
        metadata = [client.get_server_metadata(), client.get_model_metadata("digits", "1")]
        if name == "grpc":
            tell(name, "metadata", names=[item.name for item in metadata], versions=list(metadata[1].versions))
        else:
            tell(name, "metadata", names=[item["name"] for item in metadata], versions=metadata[1]["versions"])
        for datatype in INPUTS:
            tell_answer(name, datatype, client.infer("digits", [tensor(module, datatype)]))
        result = client.infer(
            "digits",
            [tensor(module, "UINT8")],
            model_version="1",
            outputs=[module.InferRequestedOutput("digits")],
            request_id="an id",
        )
        response = result.get_response()
        request_id = response.id if name == "grpc" else response["id"]
        tell(name, "one output", id=request_id, digits=result.as_numpy("digits").tolist())
        if name == "http":
            for datatype in ("UINT8", "FP32"):
                as_json = tensor(module, datatype, binary_data=False)
                wanted = [
                    module.InferRequestedOutput(output, binary_data=output == "digits")
                    for output in ("digits", "confidences", "probabilities")
                ]
                tell_answer(name, f"{datatype} as JSON", client.infer("digits", [as_json], outputs=wanted))
        tell_refusal(name, "another model", lambda: client.infer("cats", [tensor(module, "UINT8")]))
        tell_refusal(
            name, "another version", lambda: client.infer("digits", [tensor(module, "UINT8")], model_version="9")
        )
        tell_refusal(name, "no input", lambda: client.infer("digits", []))
        use_extensions(name, module, client)


def use_extensions(name: str, module: Any, client: Any) -> None:
    """Requests of Triton's own tests that go beyond the protocol."""
    image = [tensor(module, "UINT8")]
    told = {"priority": 1, "timeout": 1_000_000, "sequence_id": 7, "sequence_start": True, "parameters": {"mine": "x"}}
    tell_answer(name, "parameters", client.infer("digits", image, **told))
    twice = [module.InferRequestedOutput("digits")] * 2
    tell_refusal(name, "an output twice", lambda: client.infer("digits", image, outputs=twice))
    classes = [module.InferRequestedOutput("probabilities", class_count=3)]
    tell_refusal(name, "classification", lambda: client.infer("digits", image, outputs=classes))
    if name == "grpc":
        compressed: dict[str, str] = {"compression_algorithm": "gzip"}
    else:
        compressed = {"request_compression_algorithm": "gzip"}
        answer = client.infer("digits", image, response_compression_algorithm="gzip")
        tell_answer(name, "an answer that may be compressed", answer)
        tell_answer(name, "in the background", client.async_infer("digits", image).get_result())
    tell_refusal(name, "compression", lambda: client.infer("digits", image, **compressed))
    tell_refusal(name, "configuration", lambda: client.get_model_config("digits"))
    tell_refusal(name, "statistics", lambda: client.get_inference_statistics("digits"))
    tell_refusal(name, "repository", client.get_model_repository_index)


async def use_aio(address: str) -> None:
    module = tritonclient.grpc.aio
    async with module.InferenceServerClient(address) as client:
        ready = [await client.is_model_ready("digits"), await client.is_model_ready("digits", "1")]
        tell("aio", "health", states=[await client.is_server_live(), await client.is_server_ready(), *ready])
        questions = [client.infer("digits", [tensor(module, datatype)]) for datatype in INPUTS]
        for datatype, result in zip(INPUTS, await asyncio.gather(*questions), strict=True):
            tell_answer("aio", datatype, result)


use("grpc", tritonclient.grpc, sys.argv[1])
use("http", tritonclient.http, sys.argv[2])
asyncio.run(use_aio(sys.argv[1]))
