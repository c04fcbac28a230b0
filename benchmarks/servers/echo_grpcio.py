"""The floor of the grpcio transport: a bare grpc.aio server, and no model. `PORT`."""

import asyncio
import signal
import sys
from typing import Any

import grpc
from grpc import aio

from benchmarks.servers.echo_reply import answer
from digits.v1.prediction_pb2 import PredictRequest, PredictResponse

SERVICE = "digits.v1.PredictionService"


async def predict(request: PredictRequest, _context: Any) -> PredictResponse:
    return answer(request)


async def serve(port: int) -> None:
    server = aio.server()
    # As the generated stub would register it, for the one method that is measured.
    handler = grpc.unary_unary_rpc_method_handler(predict, PredictRequest.FromString, PredictResponse.SerializeToString)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {"Predict": handler})])
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await server.stop(grace=0)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
