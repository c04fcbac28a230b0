"""Where the CPU time of a request goes: `python -m benchmarks.serving.layers`; rewrites docs/performance.md's table.

The kernel counts the CPU time of every thread of a server under load (proc(5)). That of the transport library's own
threads is one row. Of the threads that run Python, py-spy (https://github.com/benfred/py-spy) samples the stacks; each
sample counts for the innermost file of ours on it, with the compiled code that it calls.
"""

import argparse
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving import closed_loop, page
from benchmarks.serving.closed_loop import Load, lasting
from benchmarks.serving.cores import on_cores
from benchmarks.serving.paths import BUILD, PAGE, ROOT, SCRIPTS
from benchmarks.serving.payloads import Payloads
from benchmarks.serving.process_tree import thread_seconds
from benchmarks.serving.running import Running
from benchmarks.serving.scenarios import LOADS
from benchmarks.serving.servers import Command, Server, all_servers
from benchmarks.serving.tables import table

SAMPLES_PER_SECOND = 200
PROFILED = {"native": ("single_1", "single_64", "batch_32", "batch_1024"), "grpcio": ("single_64",)}
"""Transport → the loads that it is profiled under."""

SERVER_CORE, LOAD_CORE = "0", "1"
WARM_UP = 1.0  # seconds of the load before anything is counted
LEAST_SHARE = 0.01
"""Of all CPU time, below which a file has no row of its own."""

LIBRARY_THREADS = ("grpc-native", "grpc_global", "event_engine", "lifeguard")
"""How the names of the transport libraries' own threads begin."""

PACKAGE = "digits_server/"
LIBRARY = "the transport library's own threads"
ELSEWHERE = "event loop and transport library, in Python's threads"
BEGIN, END = "<!-- layers: begin (python -m benchmarks.serving.layers) -->", "<!-- layers: end -->"

Parts = dict[str, float]
"""Where → CPU µs a request."""


@dataclass(frozen=True)
class Profile:
    """One transport under one load."""

    transport: str
    load: Load
    parts: Parts

    @property
    def title(self) -> str:
        images = f"{self.load.images:,} image" + "s" * (self.load.images > 1)
        return f"{self.transport}: {images} a request, {self.load.in_flight} in flight"


def layer(stack: str) -> str:
    """The innermost file of ours on a stack in py-spy's raw format: "function (file:line)" frames, outermost first."""
    for frame in reversed(stack.split(";")):
        _, found, rest = frame.partition(PACKAGE)
        if found and not rest.startswith("__main__"):
            return rest.split(":")[0]
    return ELSEWHERE


def shares(raw: str) -> Parts:
    """Layer → its share of the samples in py-spy's raw format, a stack and its count a line; the largest first."""
    counts: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        counts[layer(stack)] += int(count)
    return {name: count / counts.total() for name, count in counts.most_common()}


def parts(threads: Parts, raw: str, requests: float) -> Parts:
    """CPU µs a request by layer, of the CPU seconds of each thread, by its name, and the samples meanwhile."""
    library = sum(seconds for name, seconds in threads.items() if name.startswith(LIBRARY_THREADS))
    python = sum(threads.values()) - library
    each = 1e6 / requests
    return {LIBRARY: library * each} | {name: share * python * each for name, share in shares(raw).items()}


def profile(server: Server, payloads: Payloads, transport: str, load: Load, seconds: float) -> Profile:
    """Samples a server under load for so many seconds."""
    recording, log = BUILD / f"layers-{transport}.raw", BUILD / "layers.log"
    with Running(server, SERVER_CORE, BUILD / f"{server.name}.log") as running:
        running.first_answer(payloads.images[:1])
        url = f"http://{running.address}{server.protocol.method}"
        frame = payloads.payload(server.protocol, load.images).frame
        closed_loop.run(url, frame, load, LOAD_CORE, *lasting(WARM_UP), log=log)
        before = thread_seconds(running.pid)
        line: Command = [SCRIPTS / "py-spy", "record", "--pid", str(running.pid), "--format", "raw"]
        how: Command = ["--rate", str(SAMPLES_PER_SECOND), "--duration", str(round(seconds)), "--output", recording]
        with subprocess.Popen(
            on_cores(LOAD_CORE, [*line, *how]), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as sampling:
            report = closed_loop.run(url, frame, load, LOAD_CORE, *lasting(seconds), log=log)
            sampling.wait(seconds + closed_loop.TIME_LIMIT)
        after = thread_seconds(running.pid)
    used: Counter[str] = Counter()
    for thread, (name, now) in after.items():
        used[name] += now - before.get(thread, (name, 0.0))[1]
    return Profile(transport, load, parts(dict(used), recording.read_text(), report.requests))


def rows(profiles: list[Profile]) -> str:
    """One table: layers down, loads across."""
    totals = [sum(each.parts.values()) for each in profiles]
    names = [
        name
        for name in dict.fromkeys(name for each in profiles for name in each.parts)
        if any(each.parts.get(name, 0) >= LEAST_SHARE * total for each, total in zip(profiles, totals, strict=True))
    ]
    body = [[name, *(_figure(each.parts.get(name)) for each in profiles)] for name in names]
    rest = [sum(µs for name, µs in each.parts.items() if name not in names) for each in profiles]
    body += [["the rest", *map(_figure, rest)], ["**all**", *map(_figure, totals)]]
    return table(["CPU µs a request", *(each.title for each in profiles)], body)


def _figure(microseconds: float | None) -> str:
    return f"{microseconds:.3g}" if microseconds else "–"


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.serving.layers", description=__doc__)
    parser.add_argument("--repository", type=Path, default=ROOT / "models", help="model repository to serve from")
    parser.add_argument("--seconds", type=float, default=8.0, help="that each load is sampled for (default 8)")
    parser.add_argument("--print", action="store_true", help="print the table and leave the page alone")
    options = parser.parse_args()
    payloads = Payloads(options.repository.resolve(), BUILD)
    servers = {server.name: server for server in all_servers(payloads, 1)}
    profiles = [
        profile(servers[f"digits-{transport}"], payloads, transport, LOADS[load], options.seconds)
        for transport, loads in PROFILED.items()
        for load in loads
    ]
    text = rows(profiles)
    print(text)
    if not options.print:
        PAGE.write_text(page.spliced(PAGE.read_text(), text, BEGIN, END))
    return 0


if __name__ == "__main__":
    sys.exit(main())
