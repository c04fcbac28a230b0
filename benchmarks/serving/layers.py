"""Where the CPU time of a request goes: `python -m benchmarks.serving.layers`; rewrites a table of docs/performance.md.

perf (Debian's linux-perf) samples all threads of a server under load and says in which library each sample fell. A
share of the samples times the server's CPU time for each request are that library's microseconds.
"""

import argparse
import shutil
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common.paths import ROOT, SERVING
from benchmarks.common.report import replace_figures
from benchmarks.common.tables import table
from benchmarks.loads import closed_loop
from benchmarks.loads.closed_loop import Load, lasting
from benchmarks.loads.payloads import Payloads
from benchmarks.servers.catalogue import Server, all_servers
from benchmarks.servers.process_tree import cpu_seconds
from benchmarks.servers.running import Running
from benchmarks.serving.scenarios import LOADS

SAMPLES_PER_SECOND = 1999
PROFILED = {"native": ("single_1", "single_64", "batch_32", "batch_1024"), "grpcio": ("single_64", "batch_1024")}
"""Transport → the loads under which it is profiled."""

SERVER_CORE, LOAD_CORE = "0", "1"
WARM_UP = 1.0  # seconds of the load before samples are taken

LIBRARIES = {
    "_native.abi3.so": "pygrpc-native: HTTP/2 and gRPC, in Rust",
    "cygrpc": "grpcio: HTTP/2 and gRPC, in C++",
    "loop.cpython": "uvloop: the event loop",
    "litert": "LiteRT: the network",
    "_multiarray_umath": "NumPy",
    "_message.": "protobuf: messages",
    "libpython": "Python's interpreter",
    "python3": "Python's interpreter",
    "libc.so": "libc: memory and copies",
    "[kernel": "the kernel: sockets, and threads that wake one another",
}
"""Part of a library's file name → its row."""

OTHER = "all other libraries"
BEGIN, END = "<!-- layers: begin (python -m benchmarks.serving.layers) -->", "<!-- layers: end -->"


@dataclass(frozen=True)
class Profile:
    """One transport under one load: row → CPU µs a request."""

    transport: str
    load: Load
    microseconds: dict[str, float]

    @property
    def title(self) -> str:
        return f"{self.transport}, {self.load.images:,} × {self.load.in_flight} in flight"


def layer(library: str) -> str:
    """The row of a library, by its file name."""
    return next((row for part, row in LIBRARIES.items() if part in library), OTHER)


def shares(report: str) -> dict[str, float]:
    """Row → its share of the samples, of perf's report: a percentage and a library's file name a line."""
    found: defaultdict[str, float] = defaultdict(float)
    for line in report.splitlines():
        percentage, _, library = line.strip().partition("%")
        if library:
            found[layer(library.strip())] += float(percentage)
    return {row: percentage / 100 for row, percentage in found.items()}


def profile(server: Server, payloads: Payloads, transport: str, load: Load, seconds: float) -> Profile:
    """Samples a server under load for so many seconds."""
    recording, log = SERVING.build / f"layers-{transport}.data", SERVING.build / "layers.log"
    with Running(server, SERVER_CORE, SERVING.build / f"{server.name}.log") as running:
        running.first_answer(payloads.images[:1])
        url = f"http://{running.address}{server.protocol.method}"
        frame = payloads.payload(server.protocol, load.images).frame
        closed_loop.run(url, frame, load, LOAD_CORE, *lasting(WARM_UP), log=log)
        line = ["perf", "record", "--quiet", "--event", "cpu-clock", "--freq", str(SAMPLES_PER_SECOND)]
        what = ["--pid", str(running.pid), "--output", str(recording), "--", "sleep", f"{seconds}"]
        before = cpu_seconds(running.pid)
        with subprocess.Popen([*line, *what]) as sampling:
            report = closed_loop.run(url, frame, load, LOAD_CORE, *lasting(seconds), log=log)
            sampling.wait(seconds + closed_loop.TIME_LIMIT)
        each = (cpu_seconds(running.pid) - before) / report.requests * 1e6
    line = ["perf", "report", "--stdio", "--quiet", "--sort", "dso", "--input", str(recording)]
    text = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    return Profile(transport, load, {row: share * each for row, share in shares(text).items()})


def rows(profiles: list[Profile]) -> str:
    """One table: libraries down, loads across."""
    present = [
        row for row in dict.fromkeys([*LIBRARIES.values(), OTHER]) if any(row in p.microseconds for p in profiles)
    ]
    body = [[row, *(_figure(each.microseconds.get(row, 0)) for each in profiles)] for row in present]
    body.append(["**all**", *(_figure(sum(each.microseconds.values())) for each in profiles)])
    return table(["CPU µs a request", *(each.title for each in profiles)], body)


def _figure(microseconds: float) -> str:
    return f"{microseconds:,.1f}" if microseconds < 100 else f"{microseconds:,.0f}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.serving.layers", description=__doc__)
    parser.add_argument("--repository", type=Path, default=ROOT / "models", help="model repository to serve from")
    parser.add_argument("--seconds", type=float, default=5.0, help="of samples for each load (default 5)")
    parser.add_argument("--print", action="store_true", help="print the table and leave the page alone")
    options = parser.parse_args()
    if not shutil.which("perf"):
        parser.error("perf is not installed; Debian has it in the package linux-perf")
    payloads = Payloads(options.repository.resolve(), SERVING.build)
    servers = {server.name: server for server in all_servers(payloads, 1)}
    profiles = [
        profile(servers[f"digits-{transport}"], payloads, transport, LOADS[load], options.seconds)
        for transport, loads in PROFILED.items()
        for load in loads
    ]
    text = rows(profiles)
    print(text)
    if not options.print:
        replace_figures(SERVING.page, text, BEGIN, END)
    return 0


if __name__ == "__main__":
    sys.exit(main())
