"""One round: every server is started, and each scenario goes through all of them before the next one begins.

So a server and its floor are measured seconds apart, and what the machine does meanwhile happens to both. Ratios are
taken within a round; the order of the servers moves on by one from round to round.
"""

import json
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc

from benchmarks.common.cores import on_cores
from benchmarks.common.paths import ROOT, SCRIPTS, SERVING
from benchmarks.loads.closed_loop import WrongAnswers
from benchmarks.loads.payloads import Payloads
from benchmarks.servers.catalogue import Command, Server
from benchmarks.servers.running import ENVIRONMENT, DidNotStart, Running
from benchmarks.serving.scenarios import LOADS, VARIANT_LOADS, Bench, Figures

FAILURES = (WrongAnswers, DidNotStart, grpc.RpcError, subprocess.SubprocessError)
"""What ends the measurement of one server and not the run."""


@dataclass(frozen=True)
class Plan:
    """How to measure.

    server_cores, load_cores  CPU lists as taskset takes them
    seconds                   that one load lasts
    open_loop                 whether its generator could be built
    """

    server_cores: str
    load_cores: str
    seconds: float
    open_loop: bool


def run_round(number: int, servers: list[Server], payloads: Payloads, plan: Plan) -> dict[str, Figures]:
    """Figures of each server by its name; what went wrong with one stands under its `error`."""
    start = number % len(servers)
    rotated = servers[start:] + servers[:start]
    figures: dict[str, Figures] = {server.name: {} for server in servers}
    with ExitStack() as stack:
        benches = []
        for server in rotated:
            running = stack.enter_context(Running(server, plan.server_cores, SERVING.build / f"{server.name}.log"))
            benches.append(Bench(running, payloads, plan.load_cores, plan.seconds, seed=number))
            _measure("startup_s", benches[-1:], Bench.start, figures)
        whole = [bench for bench in benches if not bench.running.server.variant_of]
        for scenario, load in LOADS.items():
            present = benches if scenario in VARIANT_LOADS else whole
            _measure(scenario, present, partial(Bench.under, load=load), figures)
        _measure("beside_large", whole, Bench.beside_large, figures)
        # Before the open loop: what piles up in front of an overloaded server is not what it needs.
        _measure("footprint", whole, Bench.footprint, figures)
        if plan.open_loop:
            _measure("open_loop", whole, lambda bench: bench.open_loop(_capacity(figures, bench)), figures)
    figures["network"] = bare_network(payloads, plan)
    return figures


def _measure(scenario: str, benches: list[Bench], work: Callable[[Bench], Any], figures: dict[str, Figures]) -> None:
    """One scenario, through all servers that have not failed yet."""
    print(f"  {scenario}: {', '.join(bench.running.server.name for bench in benches)}", flush=True)
    for bench in benches:
        name = bench.running.server.name
        if "error" in figures[name]:
            continue
        try:
            figures[name][scenario] = work(bench)
        except FAILURES as error:
            figures[name]["error"] = f"{scenario}: {error}"
            print(f"    {name} failed: {error}", flush=True)


def _capacity(figures: dict[str, Figures], bench: Bench) -> float:
    """Requests per second that a server answered with 64 in flight."""
    capacity: float = figures[bench.running.server.name]["single_64"]["requests_per_second"]
    return capacity


def bare_network(payloads: Payloads, plan: Plan) -> Figures:
    """µs per call of the network alone, by images per call."""
    model = payloads.version / "model.tflite"
    line: Command = [SCRIPTS / "python", "-m", "benchmarks.servers.bare_network", model, str(plan.seconds)]
    done = subprocess.run(
        on_cores(plan.server_cores, line),
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures
