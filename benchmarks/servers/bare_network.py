"""The network alone, as the server runs it: LiteRT, one thread, no RPC. `MODEL.tflite SECONDS`.

Prints JSON: images per call → µs per call, the median.
"""

import json
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np

from digits_server.runtimes.litert import LiteRTRuntime
from digits_training.data import read

SIZES = (1, 32, 1024)


def microseconds(runtime: LiteRTRuntime, count: int, seconds: float) -> float:
    images = np.ascontiguousarray(read(None).test.images[:count])
    runtime.predict(images)  # compiles the shape
    times = []
    end = time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end:
        runtime.predict(images)
        times.append(time.perf_counter() - begin)
    return median(times) * 1e6


if __name__ == "__main__":
    network = LiteRTRuntime(Path(sys.argv[1]).read_bytes())
    share = float(sys.argv[2]) / len(SIZES)
    print(json.dumps({size: microseconds(network, size, share) for size in SIZES}))
