"""The correct answers of a server of version 1 to any bytes, by protobuf's own parser."""

from google.protobuf.message import DecodeError, Message
from grpc_health.v1.health_pb2 import HealthCheckRequest

from digits.inference.inference_pb2 import ModelInferRequest, ModelMetadataRequest
from digits.v1.prediction_pb2 import GetModelRequest, PredictRequest

PREDICT = "/digits.v1.PredictionService/Predict"
GET_MODEL = "/digits.v1.PredictionService/GetModel"
MODEL_INFER = "/inference.GRPCInferenceService/ModelInfer"
MODEL_METADATA = "/inference.GRPCInferenceService/ModelMetadata"
CHECK = "/grpc.health.v1.Health/Check"

REQUESTS: dict[str, type[Message]] = {
    PREDICT: PredictRequest,
    GET_MODEL: GetModelRequest,
    MODEL_INFER: ModelInferRequest,
    MODEL_METADATA: ModelMetadataRequest,
    CHECK: HealthCheckRequest,
}

SMALL = (GET_MODEL, MODEL_METADATA, CHECK)
SMALL_BYTES = 8 * 1024
"""Methods whose messages must be smaller."""

REFUSED = {"INVALID_ARGUMENT"}
HEALTH_NAMES = ("", "digits.v1.PredictionService", "inference.GRPCInferenceService")


def statuses(path: str, data: bytes) -> set[str]:
    """The statuses that are correct for the message `data` to the method `path`."""
    if path in SMALL and len(data) >= SMALL_BYTES:
        return {"RESOURCE_EXHAUSTED"}
    try:
        return _of_request(REQUESTS[path].FromString(data))
    except DecodeError:
        return REFUSED


def _of_request(request: Message) -> set[str]:
    if isinstance(request, PredictRequest):
        return _predict(request)
    if isinstance(request, HealthCheckRequest):
        return {"OK"} if request.service in HEALTH_NAMES else {"NOT_FOUND"}
    if isinstance(request, ModelMetadataRequest):
        return {"OK"} if request.name == "digits" and request.version in ("", "1") else {"NOT_FOUND", *REFUSED}
    if isinstance(request, ModelInferRequest):
        return {"OK", "NOT_FOUND", "RESOURCE_EXHAUSTED", *REFUSED}
    return {"OK"}


def _predict(request: PredictRequest) -> set[str]:
    if bool(request.images) == bool(request.image_files) or len(request.images) % 784:
        return REFUSED
    if request.model_version not in (0, 1):
        return {"NOT_FOUND"}
    return {"OK"} if request.images else {"OK", "RESOURCE_EXHAUSTED", *REFUSED}
