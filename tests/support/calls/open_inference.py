"""Requests of the Open Inference Protocol in each of its forms, and their answers as arrays."""

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits.inference.inference_pb2 import ModelInferRequest, ModelInferResponse

CLIENTS = Path(sys.prefix) / "inference_clients"
"""The environment of other projects' clients, which `make inference-clients` makes."""

HEADER_LENGTH = "inference-header-content-length"
DTYPES: dict[str, type[np.generic]] = {"UINT8": np.uint8, "FP32": np.float32, "INT64": np.int64}
SECONDS = 30.0
"""Deadline of one HTTP request."""

INFER = "/v2/models/digits/infer"
PIXELS = np.zeros((1, 784), np.uint8)
"""One black image."""

Numbers = NDArray[Any]
Tensors = dict[str, Numbers]


def images_tensor(**fields: Any) -> dict[str, Any]:
    """The input of one image, as a dictionary, with other fields than usual."""
    return {"name": "images", "datatype": "UINT8", "shape": [1, 784], **fields}


def grpc_message(**fields: Any) -> ModelInferRequest:
    """A ModelInferRequest, its tensors as dictionaries: protobuf takes them, its types do not say so."""
    return ModelInferRequest(**fields)


def grpc_request(images: Numbers, shape: Sequence[int], *, raw: bool, outputs: Sequence[str] = ()) -> ModelInferRequest:
    """ModelInfer for pixels of uint8 or float32, raw or typed."""
    datatype, field = ("UINT8", "uint_contents") if images.dtype == np.uint8 else ("FP32", "fp32_contents")
    return grpc_message(
        model_name="digits",
        inputs=[
            {
                "name": "images",
                "datatype": datatype,
                "shape": shape,
                "contents": {} if raw else {field: images.ravel().tolist()},
            }
        ],
        raw_input_contents=[images.tobytes()] if raw else None,
        outputs=[{"name": name} for name in outputs],
    )


def grpc_tensors(reply: ModelInferResponse) -> Tensors:
    """The outputs of a reply, raw or typed."""
    tensors = {}
    for index, output in enumerate(reply.outputs):
        dtype = DTYPES[output.datatype]
        if reply.raw_output_contents:
            values = np.frombuffer(reply.raw_output_contents[index], dtype)
        else:
            ((_, elements),) = output.contents.ListFields()
            values = np.array(elements, dtype)
        tensors[output.name] = values.reshape(output.shape)
    return tensors


def rest_request(
    images: Numbers, shape: Sequence[int], *, form: str, outputs: Sequence[str] = (), **more: Any
) -> tuple[bytes, dict[str, str]]:
    """Body and headers of an inference request for pixels of uint8 or float32; `form` is flat, nested or binary."""
    tensor: dict[str, Any] = {
        "name": "images",
        "shape": list(shape),
        "datatype": "UINT8" if images.dtype == np.uint8 else "FP32",
    }
    if form == "binary":
        tensor["parameters"] = {"binary_data_size": images.nbytes}
    else:
        tensor["data"] = (images.ravel() if form == "flat" else images.reshape(shape)).tolist()
    message = {"inputs": [tensor], **({"outputs": [{"name": name} for name in outputs]} if outputs else {}), **more}
    text = json.dumps(message).encode()
    if form != "binary":
        return text, {"content-type": "application/json"}
    return text + images.tobytes(), {"content-type": "application/octet-stream", HEADER_LENGTH: str(len(text))}


def rest_tensors(body: bytes, headers: Mapping[str, str]) -> Tensors:
    """The outputs of an answer, in JSON or after it."""
    length = int(headers.get(HEADER_LENGTH, len(body)))
    raw = body[length:]
    tensors = {}
    for output in json.loads(body[:length])["outputs"]:
        dtype = DTYPES[output["datatype"]]
        if "data" in output:
            values = np.array(output["data"], dtype)
        else:
            size = output["parameters"]["binary_data_size"]
            values, raw = np.frombuffer(raw[:size], dtype), raw[size:]
        tensors[output["name"]] = values.reshape(output["shape"])
    assert not raw
    return tensors


def post(
    url: str, body: bytes, headers: Mapping[str, str] | None = None, method: str = "POST"
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers (lower case) and body of the answer to one HTTP request."""
    request = urllib.request.Request(url, body, dict(headers or {}), method=method)
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as reply:
            return reply.status, {name.lower(): value for name, value in reply.headers.items()}, reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, {name.lower(): value for name, value in error.headers.items()}, error.read()
