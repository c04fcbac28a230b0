"""Where a server's Python time goes: `python -m benchmarks.serving.layers [--transport native|grpcio]`.

Samples the stacks of a server under 64 single images in flight with py-spy (https://github.com/benfred/py-spy), only
those of the thread that holds Python's lock, and counts each for the innermost file of ours on it, with the compiled
code that it calls. Prints a table: what is in no file of ours is the event loop and the transport's own library.
"""

import argparse
import subprocess
import sys
from collections import Counter
from pathlib import Path

from benchmarks.serving import closed_loop
from benchmarks.serving.closed_loop import lasting
from benchmarks.serving.cores import on_cores
from benchmarks.serving.paths import BUILD, ROOT, SCRIPTS
from benchmarks.serving.payloads import Payloads
from benchmarks.serving.running import Running
from benchmarks.serving.scenarios import LOADS
from benchmarks.serving.servers import Command, all_servers
from benchmarks.serving.tables import table

SAMPLES_PER_SECOND = 200
LOAD = LOADS["single_64"]
SERVER_CORE, LOAD_CORE = "0", "1"
LEAST_SHARE = 0.005
"""Of all samples, below which a file has no line of its own."""

PACKAGE = "digits_server/"
ELSEWHERE = "event loop and transport library"


def layer(stack: str) -> str:
    """The innermost file of ours on a stack in py-spy's raw format: "function (file:line)" frames, outermost first."""
    for frame in reversed(stack.split(";")):
        _, found, rest = frame.partition(PACKAGE)
        if found and not rest.startswith("__main__"):
            return rest.split(":")[0]
    return ELSEWHERE


def shares(raw: str) -> dict[str, float]:
    """Layer → its share of the samples in py-spy's raw format, a stack and its count a line; the largest first."""
    counts: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        counts[layer(stack)] += int(count)
    return {name: count / counts.total() for name, count in counts.most_common()}


def sampled(repository: Path, transport: str, seconds: float) -> str:
    """The raw samples of a server under load for so many seconds."""
    payloads = Payloads(repository, BUILD)
    server = next(found for found in all_servers(payloads, 1) if found.name == f"digits-{transport}")
    recording = BUILD / f"layers-{transport}.raw"
    with Running(server, SERVER_CORE, BUILD / f"{server.name}.log") as running:
        running.first_answer(payloads.images[:1])
        url = f"http://{running.address}{server.protocol.method}"
        frame = payloads.payload(server.protocol, LOAD.images).frame
        with subprocess.Popen(
            closed_loop.command(url, frame, LOAD, LOAD_CORE, *lasting(seconds + 2)), stdout=subprocess.DEVNULL
        ):
            line: Command = [SCRIPTS / "py-spy", "record", "--gil", "--pid", str(running.pid), "--format", "raw"]
            how: Command = ["--rate", str(SAMPLES_PER_SECOND), "--duration", str(round(seconds)), "--output", recording]
            subprocess.run(on_cores(LOAD_CORE, [*line, *how]), check=True, capture_output=True, cwd=ROOT)
    return recording.read_text()


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.serving.layers", description=__doc__)
    parser.add_argument("--repository", type=Path, default=ROOT / "models", help="model repository to serve from")
    parser.add_argument("--transport", choices=["native", "grpcio"], nargs="+", default=["native", "grpcio"])
    parser.add_argument("--seconds", type=float, default=8.0, help="that the samples are taken for (default 8)")
    options = parser.parse_args()
    for transport in options.transport:
        found = shares(sampled(options.repository.resolve(), transport, options.seconds))
        rows = [[name, f"{share:.1%}"] for name, share in found.items() if share >= LEAST_SHARE]
        print(f"\n{table([f'{transport} transport', 'share of Python time'], rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
