"""gRPC server reflection: describes the services of this server to tools."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import SERVICE_NAME, aio
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest

from digits.inference import inference_pb2
from digits.v1 import prediction_pb2
from digits_server.service.calls import Call
from digits_server.service.streaming import until

__all__ = ["SERVICE_NAME", "ServerReflectionRequest", "reflect"]

FILES = (prediction_pb2.DESCRIPTOR, inference_pb2.DESCRIPTOR, health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR)


def reflect(services: Collection[str], draining: asyncio.Event) -> Callable[[AsyncIterator[Any], Call], Any]:
    """The function that answers ServerReflectionInfo for `services` and itself, until `draining` is set."""
    servicer = aio.ReflectionServicer(sorted({*services, SERVICE_NAME}), _pool())

    def info(requests: AsyncIterator[Any], _call: Call) -> Any:
        return servicer.ServerReflectionInfo(until(draining, requests), None)

    return info


def _pool() -> DescriptorPool:
    """One pool with everything that is described: the Open Inference Protocol's stubs have their own pool."""
    pool = DescriptorPool()

    def add(file: FileDescriptor) -> None:
        for dependency in file.dependencies:
            add(dependency)
        pool.AddSerializedFile(file.serialized_pb)

    for file in FILES:
        add(file)
    return pool
