"""gRPC server reflection: the services of this server, described to tools.

Two versions of the protocol are in use, with the same messages under two names: older tools ask for v1alpha, newer ones
for v1 first. The library has v1alpha; v1 is described here by renaming it, and answered by the same code.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any

from google.protobuf import text_format
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import SERVICE_NAME, aio
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest

from digits.inference import inference_pb2
from digits.v1 import prediction_pb2
from digits_server.service.calls import Call
from digits_server.service.streaming import until

__all__ = ["SERVICE_NAMES", "ServerReflectionRequest", "reflect"]

ALPHA, STABLE = "v1alpha", "v1"

SERVICE_NAMES = (SERVICE_NAME, SERVICE_NAME.replace(ALPHA, STABLE))
"""The service of v1alpha and that of v1."""

FILES = (prediction_pb2.DESCRIPTOR, inference_pb2.DESCRIPTOR, health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR)


def reflect(services: Collection[str], draining: asyncio.Event) -> Callable[[AsyncIterator[Any], Call], Any]:
    """The function that answers ServerReflectionInfo, in both versions, until `draining` is set."""
    servicer = aio.ReflectionServicer(sorted({*services, *SERVICE_NAMES}), _pool())

    def info(requests: AsyncIterator[Any], _call: Call) -> Any:
        return servicer.ServerReflectionInfo(until(draining, requests), None)

    return info


def _pool() -> DescriptorPool:
    """One pool with the descriptions of all services: the Open Inference Protocol's stubs have their own pool."""
    pool = DescriptorPool()

    def add(file: FileDescriptor) -> None:
        for dependency in file.dependencies:
            add(dependency)
        pool.AddSerializedFile(file.serialized_pb)

    for file in FILES:
        add(file)
    pool.Add(_stable(reflection_pb2.DESCRIPTOR))
    return pool


def _stable(alpha: FileDescriptor) -> FileDescriptorProto:
    """The description of v1: that of v1alpha under the other name."""
    described = FileDescriptorProto.FromString(alpha.serialized_pb)
    return text_format.Parse(str(described).replace(ALPHA, STABLE), FileDescriptorProto())
