"""The table of RPCs that this server answers, over every transport."""

from functools import partial
from operator import methodcaller
from typing import Any

from google.protobuf.message import Message
from grpc_health.v1 import health_pb2

from digits.inference.inference_pb2 import ModelInferRequest
from digits.v1 import prediction_pb2
from digits_server.observability.metrics import Metrics
from digits_server.open_inference.grpc import INFERENCE_SERVICE, ModelInfer, inference_rpcs
from digits_server.open_inference.protocol import OpenInference
from digits_server.rpcs.health import Health
from digits_server.rpcs.rpc import Admit, Format, StreamRpc, UnaryRpc
from digits_server.rpcs.stream_limit import StreamLimit
from digits_server.service import messages
from digits_server.service.offload import Offload
from digits_server.service.prediction_service import PredictionService
from digits_server.service.wire import MOST_ENTRIES

PREDICTION_SERVICE = prediction_pb2.DESCRIPTOR.services_by_name["PredictionService"].full_name
HEALTH_SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

INFERENCE_HEALTH = {(INFERENCE_SERVICE, "ServerLive"), (INFERENCE_SERVICE, "ServerReady")}


def is_probe(service: str, method: str) -> bool:
    """Whether probes and load balancers call this method every few seconds."""
    return service == HEALTH_SERVICE or (service, method) in INFERENCE_HEALTH | {(INFERENCE_SERVICE, "ModelReady")}


SERIALISE = methodcaller("SerializeToString")


def protobuf(request_type: type[Message]) -> Format:
    """Requests and replies are protobuf's own objects, the requests small ones."""
    parse: Any = request_type.FromString  # it accepts a view too, although its types do not say so
    return Format(parse, SERIALISE, request_type.DESCRIPTOR.full_name, is_small=True)


def predictions(most_entries: int = MOST_ENTRIES) -> Format:
    """Requests and replies of Predict. The usual ones are read and written without protobuf."""
    parse_large = partial(messages.parse_request, most_entries=most_entries)
    name = prediction_pb2.PredictRequest.DESCRIPTOR.full_name
    return Format(messages.parse_request, messages.serialise_reply, name, parse_large, messages.read_in_place)


def all_rpcs(
    service: PredictionService,
    inference: OpenInference,
    health: Health,
    metrics: Metrics,
    *,
    reflection: bool,
    max_streams: int,
    max_request_streams: int,
    max_connection_streams: int,
    max_image_files: int,
    beside: Offload,
    admit: Admit | None = None,
) -> list[UnaryRpc | StreamRpc]:
    """Every RPC of the server. All except health check the caller with `admit`: load balancers have no token.

    max_streams             streams of one RPC open at once
    max_request_streams     streams of requests, of all RPCs; half of them on one connection
    max_connection_streams  streams of one connection
    max_image_files         image files in one request
    beside                  where large messages are parsed
    """

    def guard(name: str, method: str) -> Admit | None:
        return None if name == HEALTH_SERVICE or (name, method) in INFERENCE_HEALTH else admit

    def unary(name: str, method: str, form: Format, behaviour: Any) -> UnaryRpc:
        return UnaryRpc(name, method, form, metrics.rpc("unary", name, method), guard(name, method), beside, behaviour)

    def stream(name: str, method: str, form: Format, behaviour: Any, *, takes_stream: bool) -> StreamRpc:
        counters = metrics.rpc("bidi_stream" if takes_stream else "server_stream", name, method)
        limit = of_requests if takes_stream else StreamLimit(max_streams, max_connection_streams, crowded=True)
        return StreamRpc(name, method, form, counters, guard(name, method), beside, behaviour, takes_stream, limit)

    # A stream of requests may hold a large message that never ends. Health watches need no token, so callers must not
    # be able to keep a balancer's watch out.
    of_requests = StreamLimit(
        min(max_streams, max_request_streams),
        min(max_connection_streams, max(1, max_request_streams // 2)),
        "max_streams" if max_streams <= max_request_streams else "max_unfinished_bytes / max_message_bytes",
        silent=True,
    )
    most_entries = MOST_ENTRIES + max_image_files
    prediction = predictions(most_entries)
    model_infer = ModelInfer(inference, most_entries)
    inference_format = Format(model_infer.read, SERIALISE, ModelInferRequest.DESCRIPTOR.full_name)
    health_check = protobuf(health_pb2.HealthCheckRequest)
    rpcs: list[UnaryRpc | StreamRpc] = [
        unary(PREDICTION_SERVICE, "Predict", prediction, service.predict),
        stream(PREDICTION_SERVICE, "PredictStream", prediction, service.predict_stream, takes_stream=True),
        unary(PREDICTION_SERVICE, "GetModel", protobuf(prediction_pb2.GetModelRequest), service.get_model),
        unary(HEALTH_SERVICE, "Check", health_check, health.check),
        unary(HEALTH_SERVICE, "List", protobuf(health_pb2.HealthListRequest), health.list_all),
        stream(HEALTH_SERVICE, "Watch", health_check, health.watch, takes_stream=False),
        *(unary(INFERENCE_SERVICE, name, protobuf(kind), answer) for name, kind, answer in inference_rpcs(inference)),
        unary(INFERENCE_SERVICE, "ModelInfer", inference_format, model_infer.answer),
    ]
    if reflection:
        from digits_server.rpcs.reflection import SERVICE_NAMES, ServerReflectionRequest, reflect

        info = reflect({rpc.service for rpc in rpcs}, service.models.draining)
        form = protobuf(ServerReflectionRequest)
        rpcs += [stream(name, "ServerReflectionInfo", form, info, takes_stream=True) for name in SERVICE_NAMES]
    return rpcs
