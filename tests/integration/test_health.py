"""grpc.health.v1 and reflection, as probes, proxies and grpcurl use them."""

from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse, HealthListRequest
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse
from support.calls.rpc import DEADLINE, refusal
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess

pytestmark = OVER_BOTH_TRANSPORTS

SERVICE = "digits.v1.PredictionService"
OPEN_INFERENCE = "inference.GRPCInferenceService"


@pytest.mark.parametrize("service", ["", SERVICE, OPEN_INFERENCE])
def test_a_ready_server_says_serving(server: ServerProcess, service: str) -> None:
    with server.channel() as channel:
        reply = HealthStub(channel).Check(HealthCheckRequest(service=service), timeout=DEADLINE)
    assert reply.status == HealthCheckResponse.SERVING


def test_an_unknown_service_is_not_found(server: ServerProcess) -> None:
    with server.channel() as channel:
        health = HealthStub(channel)
        status, _ = refusal(lambda: health.Check(HealthCheckRequest(service="nobody"), timeout=DEADLINE))
    assert status == "NOT_FOUND"


def test_a_watcher_of_an_unknown_service_gets_service_unknown(server: ServerProcess) -> None:
    with server.channel() as channel:
        watch = HealthStub(channel).Watch(HealthCheckRequest(service="nobody"), timeout=DEADLINE)
        assert next(watch).status == HealthCheckResponse.SERVICE_UNKNOWN
        watch.cancel()


def test_list_names_every_service(server: ServerProcess) -> None:
    with server.channel() as channel:
        reply = HealthStub(channel).List(HealthListRequest(), timeout=DEADLINE)
    assert set(reply.statuses) == {"", SERVICE, OPEN_INFERENCE}


def test_a_watcher_sees_serving_then_not_serving_when_the_server_drains(repository: Path) -> None:
    with ServerProcess("--repository", repository) as server, server.channel() as channel:
        server.wait_ready()
        watch = HealthStub(channel).Watch(HealthCheckRequest(service=SERVICE), timeout=DEADLINE)
        assert next(watch).status == HealthCheckResponse.SERVING
        server.terminate()
        assert next(watch).status == HealthCheckResponse.NOT_SERVING
        assert server.wait() == 0


def test_reflection_describes_the_service_to_tools(server: ServerProcess) -> None:
    with server.channel() as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert {SERVICE, OPEN_INFERENCE, "grpc.health.v1.Health"} <= set(database.get_services())
        described = [database.FindFileContainingSymbol(name).service[0] for name in (SERVICE, OPEN_INFERENCE)]
    assert [method.name for method in described[0].method] == ["Predict", "PredictStream", "GetModel"]
    assert len(described[1].method) == 6


def reflect(channel: grpc.Channel, version: str, *requests: ServerReflectionRequest) -> list[ServerReflectionResponse]:
    """Asks the reflection service of this version, whose messages are the same in both."""
    ask = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=ServerReflectionRequest.SerializeToString,
        response_deserializer=ServerReflectionResponse.FromString,
    )
    return list(ask(iter(requests), timeout=DEADLINE))


@pytest.mark.parametrize("version", ["v1alpha", "v1"])
def test_both_versions_of_reflection_describe_every_service_and_themselves(server: ServerProcess, version: str) -> None:
    """A tool such as grpcurl builds its messages only from these descriptions."""
    own = f"grpc.reflection.{version}.ServerReflection"
    with server.channel() as channel:
        (listed,) = reflect(channel, version, ServerReflectionRequest(list_services=""))
        services = [item.name for item in listed.list_services_response.service]
        assert {SERVICE, OPEN_INFERENCE, "grpc.reflection.v1alpha.ServerReflection"} <= set(services)
        assert own in services
        pool = DescriptorPool()
        asked = [ServerReflectionRequest(file_containing_symbol=name) for name in services]
        files = {
            data: FileDescriptorProto.FromString(data)
            for reply in reflect(channel, version, *asked)
            for data in reversed(reply.file_descriptor_response.file_descriptor_proto)
        }
        for file in files.values():
            pool.Add(file)
        method = pool.FindServiceByName(own).methods_by_name["ServerReflectionInfo"]
        request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        assert request.DESCRIPTOR.full_name == f"grpc.reflection.{version}.ServerReflectionRequest"
        ask = channel.stream_stream(
            f"/{own}/{method.name}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        reply: Any
        (reply,) = ask(iter([request(file_containing_symbol=SERVICE)]), timeout=DEADLINE)
        assert reply.file_descriptor_response.file_descriptor_proto


@pytest.mark.parametrize("version", ["v1alpha", "v1"])
def test_reflection_can_be_turned_off(repository: Path, version: str) -> None:
    with ServerProcess("--repository", repository, "--no-reflection") as server, server.channel() as channel:
        server.wait_ready()
        assert refusal(lambda: reflect(channel, version, ServerReflectionRequest()))[0] == "UNIMPLEMENTED"
