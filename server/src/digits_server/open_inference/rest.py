"""The protocol's messages over HTTP: pure functions from bytes to questions, and from answers to bytes.

A message is JSON. With the binary tensor data extension the raw bytes of tensors follow it, in their order, and the
header `inference-header-content-length` says where the JSON ends
(https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct

from digits_server.errors import InvalidRequest
from digits_server.open_inference.json_elements import CUT, JsonElements, without_data
from digits_server.open_inference.protocol import (
    EXTENSIONS,
    SERVER_NAME,
    InferReply,
    InferRequest,
    ModelMetadata,
    server_version,
)
from digits_server.open_inference.tensors import (
    EXPECTED_INPUT,
    InputTensor,
    OutputTensor,
    TensorKind,
    outputs_within,
    refuse_unsupported,
)
from digits_server.settings import MODEL_NAME

HEADER_LENGTH = "inference-header-content-length"
JSON = "application/json"
BINARY = "application/octet-stream"

Size = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Parameters = dict[str, Any]

MAX_PART_BYTES = 64 * 1024
"""Most bytes of JSON of the outputs, a shape or a set of parameters. Only a tensor's data may be larger."""


class InputJson(Struct):
    """A tensor. Only its name and its datatype are read at once."""

    name: str
    datatype: str
    shape: Raw
    parameters: Raw = Raw()
    data: Raw = Raw()


class OutputJson(Struct):
    """An output that is asked for."""

    name: str
    parameters: Parameters | None = None


class RequestJson(Struct):
    """A request whose parts are not read before their size is known."""

    inputs: tuple[InputJson]
    id: str | None = None
    parameters: Raw = Raw()
    outputs: Raw = Raw()


REQUEST = msgspec.json.Decoder(RequestJson)
SHAPE = msgspec.json.Decoder(list[Size])
PARAMETERS = msgspec.json.Decoder(Parameters | None)
OUTPUTS = msgspec.json.Decoder(list[OutputJson] | None)


@dataclass(frozen=True, slots=True)
class ReplyForm:
    """How the caller wants its answer.

    request_id  is returned with the answer; None if the request had no id
    binary      which outputs to send raw after the JSON: by name, and the default for all others
    """

    request_id: str | None
    binary: Mapping[str, bool]
    others_binary: bool

    def is_binary(self, name: str) -> bool:
        return self.binary.get(name, self.others_binary)


def infer_request(body: bytes, header_length: str | None, model: str, version: str) -> tuple[InferRequest, ReplyForm]:
    """The question in a body. `header_length` is the value of that header, if it was sent. Raises InvalidRequest.

    Takes milliseconds for a large body. The elements of its tensor are not read yet.
    """
    message, raw = _split(body, header_length)
    rest, elements = without_data(message)
    request = _decoded(REQUEST, rest, "the request")
    (tensor,) = request.inputs
    parameters = _part(PARAMETERS, request.parameters, "parameters", {})
    of_input = _part(PARAMETERS, tensor.parameters, "inputs[0].parameters", {})
    wanted = _part(OUTPUTS, request.outputs, "outputs", [])
    outputs_within(len(wanted))
    refuse_unsupported(chain(parameters, of_input, *(output.parameters or () for output in wanted)))
    question = InferRequest(
        model, version, [_input(tensor, of_input, raw, elements)], [output.name for output in wanted]
    )
    others_binary = _flag(parameters, "binary_data_output", "parameters", default=False)
    binary = {
        output.name: _flag(
            output.parameters or {}, "binary_data", f"outputs[{place}].parameters", default=others_binary
        )
        for place, output in enumerate(wanted)
    }
    form = ReplyForm(request.id, binary, others_binary)
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


def _split(body: bytes, header_length: str | None) -> tuple[bytes, memoryview]:
    """The JSON of a body, and the raw bytes after it."""
    if header_length is None:
        return body, memoryview(b"")
    if not (header_length.isascii() and header_length.isdecimal() and len(header_length) < len(str(len(body))) + 1):
        raise InvalidRequest(f"{HEADER_LENGTH}: expected the bytes of JSON at the body's start")
    length = int(header_length)
    if length > len(body):
        raise InvalidRequest(f"{HEADER_LENGTH}: expected at most the {len(body)} bytes of the body, got {length}")
    return body[:length], memoryview(body)[length:]


def _input(tensor: InputJson, parameters: Parameters, raw: memoryview, elements: bytes) -> InputTensor:
    """The tensor of a request, whose binary data is all of `raw` if there is any.

    elements  the data that was cut out of the JSON, for a tensor whose data is CUT
    """
    shape = _part(SHAPE, tensor.shape, "inputs[0].shape", [])
    size = parameters.get("binary_data_size")
    data = bytes(tensor.data)
    if elements and data == CUT:
        data = elements
    if (size is None) == (not data):
        raise InvalidRequest("inputs[0]: expected either data or the parameter binary_data_size")
    if data and raw:
        raise InvalidRequest(f"the body: expected nothing after the JSON, got {len(raw)} bytes")
    if not data and (not isinstance(size, int) or isinstance(size, bool) or size != len(raw)):
        raise InvalidRequest(
            f"inputs[0].parameters.binary_data_size: expected the number of bytes after the JSON, {len(raw)}"
        )
    return InputTensor(tensor.name, tensor.datatype, shape, JsonElements(data) if data else raw)


def _flag(parameters: Parameters, name: str, place: str, *, default: bool) -> bool:
    """A parameter that is true or false; `default` if it is missing or null."""
    value = parameters.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise InvalidRequest(f"{place}.{name}: expected true or false")
    return value


def _part(decoder: msgspec.json.Decoder[Any], part: Raw, name: str, default: Any) -> Any:
    """The value of a part of a request; `default` if it is missing or null."""
    text = bytes(part)
    if not text:
        return default
    if len(text) > MAX_PART_BYTES:
        raise InvalidRequest(f"{name}: expected at most {MAX_PART_BYTES} bytes of JSON, got {len(text)}")
    return _decoded(decoder, text, name) or default


def _decoded(decoder: msgspec.json.Decoder[Any], data: bytes, name: str) -> Any:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if str(error).endswith("`array` of length 1 - at `$.inputs`"):
            raise InvalidRequest(f"inputs: {EXPECTED_INPUT}, got none or several") from error
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
