"""What a start takes, in seconds and MB: `python -m benchmarks.serving.start_up`; rewrites docs/performance.md's table.

A fresh process on one core imports what the server imports, one library after another, and loads the model. Each row
is the median of what a step adds: CPU seconds (resource.getrusage) and resident memory (proc(5), VmRSS).
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median

from benchmarks.common.cores import on_cores
from benchmarks.common.paths import ROOT, SERVING
from benchmarks.common.report import replace_figures
from benchmarks.common.tables import table

CORE = "0"
ROUNDS = 7
STEPS = {
    "Python itself": "pass",
    "NumPy": "import numpy",
    "protobuf, and our messages": "import digits.v1.prediction_pb2, digits.v1.manifest_pb2",
    "gRPC": "import grpc.aio",
    "pygrpc-native": "import pygrpc_native",
    "HTTP: uvloop, uvicorn, Starlette": "import uvloop, uvicorn, starlette.routing",
    "prometheus-client": "import prometheus_client",
    "Pillow": "import PIL.Image",
    "LiteRT": "import ai_edge_litert.interpreter",
    "the server's own modules, and what is left": "import digits_server.app",
    "the model, ready for 32 images": (
        "from ai_edge_litert.interpreter import Interpreter; i = Interpreter(MODEL, num_threads=1);"
        " i.resize_tensor_input(0, (32, 28, 28)); i.allocate_tensors(); i.invoke()"
    ),
}
MEASURE = """
import json, resource
used = resource.getrusage(resource.RUSAGE_SELF)
resident = next(line for line in open("/proc/self/status") if line.startswith("VmRSS:"))
print(json.dumps([used.ru_utime + used.ru_stime, int(resident.split()[1]) / 1024]))
"""

Step = tuple[float, float]
"""CPU seconds and MB since the process began."""


def one_start(model: Path) -> list[Step]:
    """Each step's totals in one fresh process."""
    program = f"MODEL = {str(model)!r}\n" + "".join(f"{step}\n{MEASURE}" for step in STEPS.values())
    line = on_cores(CORE, [sys.executable, "-c", program])
    printed = subprocess.run(line, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    return [(cpu, resident) for cpu, resident in map(json.loads, printed.splitlines())]


def added(totals: list[Step]) -> list[Step]:
    """What each step adds to the one before it."""
    before = [(0.0, 0.0), *totals]
    return [(cpu - was_cpu, mb - was_mb) for (cpu, mb), (was_cpu, was_mb) in zip(totals, before, strict=False)]


def rows(starts: list[list[Step]]) -> str:
    """The table: a step a line, and all of them."""
    body = []
    for name, steps in zip([*STEPS, "**all**"], zip(*([*added(s), s[-1]] for s in starts), strict=True), strict=True):
        cpu, resident = (median(values) for values in zip(*steps, strict=True))
        body.append([name, f"{cpu:.2f}", f"{resident:.1f}"])
    return table(["step", "CPU seconds", "resident MB"], body)


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.serving.start_up", description=__doc__)
    parser.add_argument("--repository", type=Path, default=ROOT / "models", help="model repository to load from")
    parser.add_argument("--print", action="store_true", help="print the table and leave the page alone")
    options = parser.parse_args()
    versions = (options.repository.resolve() / "digits").glob("*/model.tflite")
    model = max(versions, key=lambda found: int(found.parent.name))
    text = rows([one_start(model) for _ in range(ROUNDS)])
    print(text)
    if not options.print:
        begin, end = "<!-- start: begin (python -m benchmarks.serving.start_up) -->", "<!-- start: end -->"
        replace_figures(SERVING.page, text, begin, end)
    return 0


if __name__ == "__main__":
    sys.exit(main())
