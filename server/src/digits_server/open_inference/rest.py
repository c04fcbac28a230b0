"""The protocol's messages over HTTP, into its questions and out of its answers: pure functions over bytes.

A message is JSON. With the binary tensor data extension the raw bytes of tensors follow it, in their order, and the
header `inference-header-content-length` says where the JSON ends
(https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta, Raw, Struct
from numpy.typing import NDArray

from digits_server.errors import InvalidRequest
from digits_server.open_inference.protocol import (
    EXTENSIONS,
    SERVER_NAME,
    InferReply,
    InferRequest,
    ModelMetadata,
    server_version,
)
from digits_server.open_inference.tensors import (
    BYTES,
    FP32,
    UINT8,
    Contents,
    InputTensor,
    OutputTensor,
    TensorKind,
    refuse_unsupported,
)
from digits_server.settings import MODEL_NAME

HEADER_LENGTH = "inference-header-content-length"
JSON = "application/json"
BINARY = "application/octet-stream"

Size = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Pixel = Annotated[int, Meta(ge=0, le=255)]
Parameters = dict[str, Any]

MAX_DEPTH = 4
"""Levels of lists in a tensor's data: the sizes of [N, 28, 28, 1]."""

LISTS_BEGIN = re.compile(rb"[\[ \t\r\n]*")


class _Input(Struct):
    name: str
    shape: list[Size]
    datatype: str
    parameters: Parameters | None = None
    data: Raw = Raw()


class _Output(Struct):
    name: str
    parameters: Parameters | None = None


class _Request(Struct):
    inputs: list[_Input]
    id: str | None = None
    parameters: Parameters | None = None
    outputs: list[_Output] | None = None


def _decoders(element: Any) -> list[msgspec.json.Decoder[Any]]:
    """Of lists of `element`, nested once, twice, … up to MAX_DEPTH."""
    decoders = []
    for _ in range(MAX_DEPTH):
        element = list[element]
        decoders.append(msgspec.json.Decoder(element))
    return decoders


REQUEST = msgspec.json.Decoder(_Request)
DATA = {UINT8: _decoders(Pixel), FP32: _decoders(float), BYTES: _decoders(bytes)}
"""How the data of a datatype is read, by its depth. JSON has no bytes: they are written in base64."""


@dataclass(frozen=True, slots=True)
class ReplyForm:
    """How the caller wants its answer.

    request_id  comes back with it; None when there was none
    binary      the outputs to send raw after the JSON: by name, and whether those not named here
    """

    request_id: str | None
    binary: Mapping[str, bool]
    others_binary: bool

    def is_binary(self, name: str) -> bool:
        return self.binary.get(name, self.others_binary)


def infer_request(body: bytes, header_length: str | None, model: str, version: str) -> tuple[InferRequest, ReplyForm]:
    """The question in a body. `header_length` is the value of that header, if it came. Raises InvalidRequest."""
    message, raw = _split(body, header_length)
    request = _decoded(REQUEST, message, "the request")
    wanted = request.outputs or []
    refuse_unsupported(name for part in (request, *request.inputs, *wanted) for name in part.parameters or ())
    question = InferRequest(model, version, _inputs(request.inputs, raw), [output.name for output in wanted])
    form = ReplyForm(
        request.id,
        binary={output.name: bool((output.parameters or {}).get("binary_data")) for output in wanted},
        others_binary=bool((request.parameters or {}).get("binary_data_output")),
    )
    return question, form


def infer_response(reply: InferReply, form: ReplyForm) -> tuple[bytes, dict[str, str]]:
    """The answer as a body and its headers."""
    message: dict[str, Any] = {"model_name": MODEL_NAME, "model_version": str(reply.version)}
    if form.request_id is not None:
        message["id"] = form.request_id
    message["outputs"] = [_output(output, binary=form.is_binary(output.name)) for output in reply.outputs]
    text = msgspec.json.encode(message)
    raw = [output.values.tobytes() for output in reply.outputs if form.is_binary(output.name)]
    if not raw:
        return text, {"content-type": JSON}
    return b"".join([text, *raw]), {"content-type": BINARY, HEADER_LENGTH: str(len(text))}


def server_metadata() -> dict[str, Any]:
    return {"name": SERVER_NAME, "version": server_version(), "extensions": EXTENSIONS}


def model_metadata(metadata: ModelMetadata) -> dict[str, Any]:
    return {
        "name": metadata.name,
        "versions": metadata.versions,
        "platform": metadata.platform,
        "inputs": [_tensor_metadata(kind) for kind in metadata.inputs],
        "outputs": [_tensor_metadata(kind) for kind in metadata.outputs],
        "properties": metadata.properties,
    }


def _split(body: bytes, header_length: str | None) -> tuple[bytes | memoryview, memoryview]:
    """The JSON of a body, and the raw bytes after it."""
    if header_length is None:
        return body, memoryview(b"")
    if not (header_length.isascii() and header_length.isdecimal() and len(header_length) < len(str(len(body))) + 1):
        raise InvalidRequest(f"{HEADER_LENGTH}: expected the bytes of JSON at the body's start")
    length = int(header_length)
    if length > len(body):
        raise InvalidRequest(f"{HEADER_LENGTH}: expected at most the {len(body)} bytes of the body, got {length}")
    return memoryview(body)[:length], memoryview(body)[length:]


def _inputs(inputs: Sequence[_Input], raw: memoryview) -> list[InputTensor]:
    """The tensors; those with a `binary_data_size` take theirs from `raw` in turn."""
    tensors = []
    for index, tensor in enumerate(inputs):
        name = f"inputs[{index}]"
        size = (tensor.parameters or {}).get("binary_data_size")
        data = bytes(tensor.data)
        if (size is None) == (not data):
            raise InvalidRequest(f"{name}: expected either data or the parameter binary_data_size")
        if data:
            contents = _contents(tensor.datatype, data, name)
        elif not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(raw):
            raise InvalidRequest(
                f"{name}.parameters.binary_data_size: expected bytes of the {len(raw)} that follow the JSON"
            )
        else:
            contents, raw = raw[:size], raw[size:]
        tensors.append(InputTensor(tensor.name, tensor.datatype, tensor.shape, contents))
    if raw:
        raise InvalidRequest(f"the body: expected nothing after the binary data of its inputs, got {len(raw)} bytes")
    return tensors


def _contents(datatype: str, data: bytes, name: str) -> Contents:
    """The elements in a tensor's JSON; those of an unknown datatype are not read."""
    if datatype not in DATA:
        return np.empty(0, np.uint8)
    begin = LISTS_BEGIN.match(data)
    depth = begin[0].count(b"[") if begin else 0
    if depth > MAX_DEPTH:
        raise InvalidRequest(f"{name}.data: expected at most {MAX_DEPTH} levels of lists")
    elements = _decoded(DATA[datatype][max(depth, 1) - 1], data, f"{name}.data")
    if datatype == BYTES:
        for _ in range(depth - 1):
            elements = [element for part in elements for element in part]
        return list(elements)
    return _array(elements, np.dtype(np.uint8 if datatype == UINT8 else np.float64), name)


def _array(elements: list[Any], dtype: "np.dtype[Any]", name: str) -> NDArray[np.generic]:
    try:
        return np.array(elements, dtype)
    except ValueError as error:
        raise InvalidRequest(f"{name}.data: expected lists of equal lengths") from error


def _decoded(decoder: msgspec.json.Decoder[Any], data: bytes | memoryview, name: str) -> Any:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{name}: {error}") from error
    except RecursionError as error:
        raise InvalidRequest(f"{name}: nested too deeply") from error


def _output(output: OutputTensor, *, binary: bool) -> dict[str, Any]:
    tensor: dict[str, Any] = {"name": output.name, "datatype": output.datatype, "shape": output.values.shape}
    if binary:
        tensor["parameters"] = {"binary_data_size": output.values.nbytes}
    else:
        tensor["data"] = output.values.ravel().tolist()
    return tensor


def _tensor_metadata(kind: TensorKind) -> dict[str, Any]:
    return {"name": kind.name, "datatype": kind.datatype, "shape": kind.shape}
