"""Triton with the published network in its Python backend, dynamic batching on: `WEIGHTS.npz PORT`.

It runs under the Python that nvidia-pytriton was installed for. PORT takes gRPC; Triton wants two more for HTTP and
metrics, which are the next two.
"""

import signal
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pytriton.decorators import batch  # type: ignore[import-not-found]  # installed beside the project, not in it
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor  # type: ignore[import-not-found]
from pytriton.triton import Triton, TritonConfig  # type: ignore[import-not-found]

from benchmarks.loads.network import MAX_BATCH_SIZE, Network
from benchmarks.loads.open_inference import INPUT, MODEL, OUTPUT


def serve(weights: Path, port: int) -> None:
    network = Network.load(weights)

    @batch  # type: ignore[untyped-decorator]
    def infer(**tensors: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        return {OUTPUT: network(tensors[INPUT])}

    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # leaves the block below, which ends Triton's own processes
    ports = TritonConfig(grpc_port=port, http_port=port + 1, metrics_port=port + 2, log_verbose=0)
    with Triton(config=ports) as triton:
        triton.bind(
            model_name=MODEL,
            infer_func=infer,
            inputs=[Tensor(name=INPUT, dtype=np.uint8, shape=(28, 28))],
            outputs=[Tensor(name=OUTPUT, dtype=np.float32, shape=(10,))],
            config=ModelConfig(
                max_batch_size=MAX_BATCH_SIZE,
                # What queues while a batch runs is the next batch: no added delay, as in our server.
                batcher=DynamicBatcher(max_queue_delay_microseconds=0),
            ),
        )
        triton.serve()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]))
