"""One round: every arrangement in turn is started, asked under every load, and ended."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.common.paths import SCALING, SCRIPTS
from benchmarks.loads import closed_loop
from benchmarks.loads.closed_loop import Load, Report
from benchmarks.loads.payloads import Payloads
from benchmarks.loads.protocols import DIGITS, framed
from benchmarks.scaling.arrangements import LOADS, Arrangement, arrangements
from benchmarks.scaling.proxy import proxy
from benchmarks.servers.catalogue import all_servers
from benchmarks.servers.process_tree import cpu_seconds
from benchmarks.servers.running import Running

WARM_UP_SECONDS = 0.3

Figures = dict[str, Any]


def run_round(number: int, payloads: Payloads, seconds: float) -> Figures:
    """Figures by arrangement and load. The order of the arrangements moves on by one from round to round."""
    names = list(arrangements(workers=_offers_workers()))
    start = number % len(names)
    figures = {}
    for name in names[start:] + names[:start]:
        print(f"round {number + 1}: {name}", flush=True)
        figures[name] = measure(arrangements()[name], payloads, seconds)
    return figures


def _offers_workers() -> bool:
    usage = subprocess.run(
        [SCRIPTS / "digits-server", "--help"], capture_output=True, text=True, check=True, timeout=30
    )
    return "--workers" in usage.stdout


def measure(arrangement: Arrangement, payloads: Payloads, seconds: float) -> Figures:
    """Requests per second, CPU and latency under every load."""
    (server,) = (
        each for each in all_servers(payloads, arrangement.workers) if each.name == f"digits-{arrangement.transport}"
    )
    with ExitStack() as stack:
        running = []
        for index, cores in enumerate(arrangement.replicas):
            running.append(stack.enter_context(Running(server, cores, SCALING.build / f"server-{index}.log")))
            running[-1].first_answer(payloads.images[:1])
        proxy_pid, ports = None, [each.port for each in running]
        if arrangement.proxied:
            # A server's HTTP port is its third: see the command in benchmarks.servers.catalogue.
            proxy_pid, port = stack.enter_context(proxy([(each.port, each.port + 2) for each in running]))
            ports = [port]
        pids = [each.pid for each in running]
        figures = {}
        for name, load in LOADS.items():
            reply = len(framed(running[0].call(payloads.images[: load.images])))
            frame = payloads.payload(DIGITS, load.images).frame
            callers = arrangement.callers[:1] if load.in_flight == 1 else arrangement.callers
            _call(ports, frame, load, callers, WARM_UP_SECONDS)
            before = [cpu_seconds(pid) for pid in pids], cpu_seconds(proxy_pid) if proxy_pid else 0.0
            reports = _call(ports, frame, load, callers, seconds)
            after = [cpu_seconds(pid) for pid in pids], cpu_seconds(proxy_pid) if proxy_pid else 0.0
            for report in reports:
                report.verify(reply, in_flight=load.in_flight)
            requests = sum(report.requests for report in reports)
            figures[name] = {
                "requests_per_second": sum(report.rate for report in reports),
                "server_cpu_us": (sum(after[0]) - sum(before[0])) / requests * 1e6,
                "proxy_cpu_us": (after[1] - before[1]) / requests * 1e6 if proxy_pid else None,
                "p50_ms": max(report.percentile(0.5) for report in reports),
                "p99_ms": max(report.percentile(0.99) for report in reports),
            }
        return figures


def _call(ports: list[int], frame: Path, load: Load, callers: tuple[str, ...], seconds: float) -> list[Report]:
    """One load generator for each caller, all at once."""

    def one(index: int) -> Report:
        url = f"http://127.0.0.1:{ports[index % len(ports)]}{DIGITS.method}"
        extent = closed_loop.lasting(seconds)
        return closed_loop.run(url, frame, load, callers[index], *extent, log=SCALING.build / f"h2load-{index}.log")

    with ThreadPoolExecutor(len(callers)) as threads:
        return list(threads.map(one, range(len(callers))))
