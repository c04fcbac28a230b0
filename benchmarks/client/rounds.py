"""One round: both servers are started, and each load goes through all contenders before the next one begins.

Ratios are taken within a round; the order of the contenders moves on by one from round to round.
"""

import json
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.common.cores import on_cores
from benchmarks.common.paths import CLIENT, PEERS, ROOT
from benchmarks.loads import closed_loop
from benchmarks.loads.payloads import Payloads
from benchmarks.loads.protocols import framed
from benchmarks.servers.catalogue import all_servers, tool_missing
from benchmarks.servers.running import ENVIRONMENT, Running
from benchmarks.serving.scenarios import LOADS

IN_FLIGHT = (1, 64, 256)
IMAGES = 1000
"""Images asked about in turn: their answers are compared with the published network's."""

BLOCKS = 40
"""Of the comparison one at a time: 100 calls each of the stub and of the client."""

REPEATS = 5
"""Calls of predict_batch with all of MNIST."""

THREADS = ("threads", "threads-alone")
IMPORTS = 7
CONTENDERS = ("coalescing", "alone", "stub", *THREADS, "triton")
LIMIT = 120.0
"""Seconds one contender may take."""

Figures = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """How to measure.

    server_cores, load_cores  CPU lists as taskset takes them
    seconds                   that one load lasts
    """

    server_cores: str
    load_cores: str
    seconds: float


def run_round(number: int, payloads: Payloads, plan: Plan) -> Figures:
    """Figures by load and contender; what could not be measured stands under `skipped`."""
    work = CLIENT.build / "work.npz"
    np.savez(work, images=payloads.images[:IMAGES], digits=np.array(payloads.digits(IMAGES), np.uint8))
    servers = {server.name: server for server in all_servers(payloads, 1)}
    ours, triton = servers["digits-grpcio"], servers["triton"]
    figures: Figures = {"skipped": {}}
    with ExitStack() as stack:
        digits = stack.enter_context(Running(ours, plan.server_cores, CLIENT.build / "digits.log"))
        digits.first_answer(payloads.images[:1])
        addresses = dict.fromkeys(CONTENDERS[:-1], digits.address)
        if triton.missing:
            figures["skipped"]["triton"] = triton.missing
        else:
            running = stack.enter_context(Running(triton, plan.server_cores, CLIENT.build / "triton.log"))
            running.first_answer(payloads.images[:1])
            addresses["triton"] = running.address
        names = list(addresses)
        names = names[number % len(names) :] + names[: number % len(names)]
        for in_flight in IN_FLIGHT:
            print(f"round {number + 1}: {in_flight} in flight", flush=True)
            figures[str(in_flight)] = {
                name: _run(plan, *_caller(name), addresses[name], work, in_flight, plan.seconds) for name in names
            }
        print(f"round {number + 1}: one at a time, batches", flush=True)
        module = ("-m", "benchmarks.client.one_at_a_time")
        figures["one"] = _run(plan, sys.executable, *module, digits.address, work, BLOCKS)
        figures["batch"] = _run(plan, sys.executable, "-m", "benchmarks.client.batch", digits.address, REPEATS)
        figures["import_seconds"] = _import_seconds(plan)
        figures["server_images_per_second"] = _best_of_server(payloads, digits, plan, figures)
    return figures


def _caller(name: str) -> list[str | Path]:
    if name == "triton":
        return [PEERS / "triton" / "bin" / "python", "-m", "benchmarks.client.triton_caller"]
    module = "benchmarks.client.threads" if name in THREADS else "benchmarks.client.callers"
    return [sys.executable, "-m", module, name]


def _run(plan: Plan, *command: object) -> Any:
    """What one contender measured, on the load's core."""
    done = subprocess.run(
        on_cores(plan.load_cores, [str(part) for part in command]),
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", **ENVIRONMENT},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=LIMIT,
    )
    return json.loads(done.stdout)


def _import_seconds(plan: Plan) -> float:
    """What `import digits_client` adds to `import grpc`."""
    code = "import grpc, time; begin = time.perf_counter(); import digits_client; print(time.perf_counter() - begin)"
    seconds: float = median(_run(plan, sys.executable, "-c", code) for _ in range(IMPORTS))
    return seconds


def _best_of_server(payloads: Payloads, running: Running, plan: Plan, figures: Figures) -> float | None:
    """Images/s under h2load, 1,024 a request: what the server can do when the caller costs nothing."""
    if missing := tool_missing("h2load", "nghttp2-client"):
        figures["skipped"]["the server's best"] = missing
        return None
    load = LOADS["batch_1024"]
    protocol = running.server.protocol
    url = f"http://{running.address}{protocol.method}"
    frame = payloads.payload(protocol, load.images).frame
    reply = len(framed(running.call(payloads.images[: load.images])))
    lasting = closed_loop.lasting(plan.seconds)
    report = closed_loop.run(url, frame, load, plan.load_cores, *lasting, log=CLIENT.build / "h2load.log")
    report.verify(reply, in_flight=load.in_flight)
    return report.rate * load.images
