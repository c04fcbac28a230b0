"""The protocol over gRPC: messages to questions, and answers to messages."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

from google.protobuf.message import Message

from digits.inference.inference_pb2 import (
    DESCRIPTOR,
    InferTensorContents,
    ModelInferRequest,
    ModelInferResponse,
    ModelMetadataRequest,
    ModelMetadataResponse,
    ModelReadyRequest,
    ModelReadyResponse,
    ServerLiveRequest,
    ServerLiveResponse,
    ServerMetadataRequest,
    ServerMetadataResponse,
    ServerReadyRequest,
    ServerReadyResponse,
)
from digits_server.errors import InvalidRequest
from digits_server.open_inference.protocol import (
    EXTENSIONS,
    SERVER_NAME,
    InferReply,
    InferRequest,
    OpenInference,
    Question,
    server_version,
)
from digits_server.open_inference.tensors import (
    BYTES,
    FP32,
    INT64,
    UINT8,
    Contents,
    InputTensor,
    OutputTensor,
    TensorKind,
    one_input,
    outputs_within,
    refuse_unsupported,
)
from digits_server.open_inference.wire_tensors import TypedContents, take_tensors
from digits_server.service.calls import Call
from digits_server.service.wire import MOST_ENTRIES, check_entries, packed
from digits_server.settings import MODEL_NAME

INFERENCE_SERVICE = DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name

Behaviour = Callable[[Any, Call], Awaitable[Message]]

TYPED = {UINT8: "uint_contents", INT64: "int64_contents", FP32: "fp32_contents", BYTES: "bytes_contents"}
"""The field of InferTensorContents that holds the elements of a datatype."""

FP32_FIELD = InferTensorContents.FP32_CONTENTS_FIELD_NUMBER


def inference_rpcs(inference: OpenInference) -> list[tuple[str, type[Message], Behaviour]]:
    """All methods of the service except ModelInfer: name, type of the request, and the function that answers."""
    service = GrpcInference(inference)
    return [
        ("ServerLive", ServerLiveRequest, service.server_live),
        ("ServerReady", ServerReadyRequest, service.server_ready),
        ("ModelReady", ModelReadyRequest, service.model_ready),
        ("ServerMetadata", ServerMetadataRequest, service.server_metadata),
        ("ModelMetadata", ModelMetadataRequest, service.model_metadata),
    ]


class GrpcInference:
    """`inference.GRPCInferenceService`: a method for each RPC."""

    def __init__(self, inference: OpenInference) -> None:
        self._inference = inference

    async def server_live(self, _request: ServerLiveRequest, _call: Call) -> ServerLiveResponse:
        return ServerLiveResponse(live=True)

    async def server_ready(self, _request: ServerReadyRequest, _call: Call) -> ServerReadyResponse:
        return ServerReadyResponse(ready=self._inference.ready)

    async def model_ready(self, request: ModelReadyRequest, _call: Call) -> ModelReadyResponse:
        return ModelReadyResponse(ready=self._inference.model_ready(request.name, request.version))

    async def server_metadata(self, _request: ServerMetadataRequest, _call: Call) -> ServerMetadataResponse:
        return ServerMetadataResponse(name=SERVER_NAME, version=server_version(), extensions=EXTENSIONS)

    async def model_metadata(self, request: ModelMetadataRequest, _call: Call) -> ModelMetadataResponse:
        metadata = self._inference.model_metadata(request.name, request.version)
        return ModelMetadataResponse(
            name=metadata.name,
            versions=metadata.versions,
            platform=metadata.platform,
            inputs=map(_tensor_metadata, metadata.inputs),
            outputs=map(_tensor_metadata, metadata.outputs),
            properties=metadata.properties,
        )


@dataclass(frozen=True, slots=True)
class ModelInfer:
    """The method ModelInfer of `inference.GRPCInferenceService`."""

    inference: OpenInference
    most_entries: int

    def read(self, data: bytes | memoryview) -> "InferQuestion":
        """The question in a message. May be called in any thread. Raises DecodeError or ServingError."""
        asked, message = infer_request(data, self.most_entries)
        raw = any(isinstance(tensor.contents, memoryview) for tensor in asked.inputs)
        return InferQuestion(self.inference.read(asked), message.id, raw)

    async def answer(self, asked: "InferQuestion", call: Call) -> ModelInferResponse:
        return infer_response(await self.inference.answer(asked.question, call), asked.id, raw=asked.raw)


class InferQuestion(NamedTuple):
    """A ModelInferRequest that has been read: `raw` says whether its tensors were raw, so that the answer's are too."""

    question: Question
    id: str
    raw: bool


def infer_request(data: bytes | memoryview, most_entries: int = MOST_ENTRIES) -> tuple[InferRequest, ModelInferRequest]:
    """The question in a message, and the message without the contents of its tensors.

    Raises protobuf's DecodeError, or InvalidRequest if the message contradicts itself or has too many tensors.
    """
    check_entries(data, ModelInferRequest, most_entries)
    message, typed, raw = take_tensors(data)
    one_input(len(message.inputs))
    outputs_within(len(message.outputs))
    refuse_unsupported(
        chain(
            message.parameters,
            *(tensor.parameters for tensor in message.inputs),
            *(output.parameters for output in message.outputs),
        )
    )
    asked = InferRequest(
        model=message.model_name,
        version=message.model_version,
        inputs=list(_inputs(message, typed, raw)),
        outputs=[output.name for output in message.outputs],
    )
    return asked, message


def infer_response(reply: InferReply, request_id: str, *, raw: bool) -> ModelInferResponse:
    """The answer as a message. Its tensors are raw if the caller's were, so that the caller can read them."""
    message = ModelInferResponse(
        model_name=MODEL_NAME,
        model_version=str(reply.version),
        id=request_id,
        raw_output_contents=[output.values.tobytes() for output in reply.outputs] if raw else None,
    )
    for output in reply.outputs:
        message.outputs.add(
            name=output.name,
            datatype=output.datatype,
            shape=output.values.shape,
            contents=None if raw else _typed(output),
        )
    return message


def _inputs(message: ModelInferRequest, typed: list[TypedContents], raw: list[memoryview]) -> Iterator[InputTensor]:
    if raw and len(raw) != len(message.inputs):
        raise InvalidRequest(
            f"raw_input_contents: expected one for each of {len(message.inputs)} inputs, or none; got {len(raw)}"
        )
    for index, tensor in enumerate(message.inputs):
        if raw and typed[index].fields:
            raise InvalidRequest(f"inputs[{index}].contents: expected none beside raw_input_contents")
        contents = raw[index] if raw else _contents(tensor.datatype, typed[index], index)
        yield InputTensor(tensor.name, tensor.datatype, tensor.shape, contents)


def _contents(datatype: str, typed: TypedContents, index: int) -> Contents:
    """The elements of typed contents; those of an unknown datatype are empty."""
    wanted = TYPED.get(datatype)
    for field in typed.fields:
        if wanted and field != wanted:
            raise InvalidRequest(f"inputs[{index}].contents: expected {wanted} for {datatype}, got {field}")
    if wanted == TYPED[BYTES]:
        return typed.many_bytes(wanted)
    if wanted == TYPED[FP32]:
        return typed.floats(wanted)
    return typed.unsigned(TYPED[UINT8])


def _typed(output: OutputTensor) -> InferTensorContents:
    """The elements in the field of their datatype. Floats are added at once: one by one they take up to 15 ms."""
    if output.datatype == FP32:
        return InferTensorContents.FromString(packed(FP32_FIELD, output.values.tobytes()))
    return InferTensorContents(**{TYPED[output.datatype]: output.values.ravel().tolist()})


def _tensor_metadata(kind: TensorKind) -> ModelMetadataResponse.TensorMetadata:
    return ModelMetadataResponse.TensorMetadata(name=kind.name, datatype=kind.datatype, shape=kind.shape)
