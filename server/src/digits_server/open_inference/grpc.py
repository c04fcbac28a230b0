"""The protocol's messages over gRPC, into its questions and out of its answers."""

from collections.abc import Awaitable, Callable, Iterator
from itertools import chain
from typing import Any

import numpy as np
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
from digits_server.service.calls import Call
from digits_server.settings import MODEL_NAME

INFERENCE_SERVICE = DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name

Behaviour = Callable[[Any, Call], Awaitable[Message]]

TYPED = {UINT8: "uint_contents", INT64: "int64_contents", FP32: "fp32_contents", BYTES: "bytes_contents"}
"""The field of InferTensorContents that holds the elements of a datatype."""


def inference_rpcs(inference: OpenInference) -> list[tuple[str, type[Message], Behaviour]]:
    """The methods of the service: name, type of the request, and what answers it."""
    service = GrpcInference(inference)
    return [
        ("ServerLive", ServerLiveRequest, service.server_live),
        ("ServerReady", ServerReadyRequest, service.server_ready),
        ("ModelReady", ModelReadyRequest, service.model_ready),
        ("ServerMetadata", ServerMetadataRequest, service.server_metadata),
        ("ModelMetadata", ModelMetadataRequest, service.model_metadata),
        ("ModelInfer", ModelInferRequest, service.model_infer),
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

    async def model_infer(self, request: ModelInferRequest, call: Call) -> ModelInferResponse:
        with self._inference.service.metrics.rejections:
            question = infer_request(request)
        reply = await self._inference.infer(question, call)
        return infer_response(reply, request.id, raw=bool(request.raw_input_contents))


def infer_request(message: ModelInferRequest) -> InferRequest:
    """The question in a message. Raises InvalidRequest when it contradicts itself, or has more tensors than can be."""
    one_input(len(message.inputs))
    outputs_within(len(message.outputs))
    refuse_unsupported(
        chain(
            message.parameters,
            *(tensor.parameters for tensor in message.inputs),
            *(output.parameters for output in message.outputs),
        )
    )
    return InferRequest(
        model=message.model_name,
        version=message.model_version,
        inputs=list(_inputs(message)),
        outputs=[output.name for output in message.outputs],
    )


def infer_response(reply: InferReply, request_id: str, *, raw: bool) -> ModelInferResponse:
    """The answer as a message, its tensors raw where the caller's were, so that it can read what it can write."""
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


def _inputs(message: ModelInferRequest) -> Iterator[InputTensor]:
    raw = message.raw_input_contents
    if raw and len(raw) != len(message.inputs):
        raise InvalidRequest(
            f"raw_input_contents: expected one for each of {len(message.inputs)} inputs, or none; got {len(raw)}"
        )
    for index, tensor in enumerate(message.inputs):
        if raw and tensor.contents.ListFields():
            raise InvalidRequest(f"inputs[{index}].contents: expected none beside raw_input_contents")
        contents = raw[index] if raw else _contents(tensor, index)
        yield InputTensor(tensor.name, tensor.datatype, tensor.shape, contents)


def _contents(tensor: ModelInferRequest.InferInputTensor, index: int) -> Contents:
    """The elements of typed contents; those of an unknown datatype are empty."""
    wanted = TYPED.get(tensor.datatype)
    for field, _ in tensor.contents.ListFields():
        if wanted and field.name != wanted:
            raise InvalidRequest(f"inputs[{index}].contents: expected {wanted} for {tensor.datatype}, got {field.name}")
    if wanted == TYPED[BYTES]:
        return list(tensor.contents.bytes_contents)
    if wanted == TYPED[FP32]:
        return np.array(tensor.contents.fp32_contents, np.float32)
    return np.array(tensor.contents.uint_contents, np.uint32)


def _typed(output: OutputTensor) -> InferTensorContents:
    return InferTensorContents(**{TYPED[output.datatype]: output.values.ravel()})


def _tensor_metadata(kind: TensorKind) -> ModelMetadataResponse.TensorMetadata:
    return ModelMetadataResponse.TensorMetadata(name=kind.name, datatype=kind.datatype, shape=kind.shape)
