"""`python -m benchmarks.scaling.bulk`: the same images scored in bulk by Ray Data, and by the client over native.

Ray takes the model to the images; the client takes the images to one server on the same cores. Writes the table of
docs/scaling.md. `make test-bulk` installs Ray first.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.common.cores import on_cores
from benchmarks.common.paths import ROOT, SCALING
from benchmarks.common.report import replace_figures
from benchmarks.common.tables import table
from benchmarks.loads.payloads import Payloads
from benchmarks.servers.catalogue import all_servers
from benchmarks.servers.running import Running
from digits_client import Client

BEGIN, END = "<!-- bulk: begin (python -m benchmarks.scaling.bulk) -->", "<!-- bulk: end -->"
EXAMPLE = ROOT / "docs/examples/bulk"
RAY_PYTHON = EXAMPLE / ".venv/bin/python"
CORES = "0-1"
TIME_LIMIT = 300.0
"""Seconds for one way, and for each RPC of the client."""

WRITER = """
import sys, numpy as np, pyarrow as pa, pyarrow.parquet as pq
images = np.load(sys.argv[1])
pixels = pa.array([each.tobytes() for each in images] * int(sys.argv[2]), pa.binary(784))
pq.write_table(pa.table({"pixels": pixels}), f"{sys.argv[3]}/images.parquet", row_group_size=50_000)
"""
"""Runs in Ray's environment, which has Arrow."""


def main() -> int:
    options = _options()
    if not RAY_PYTHON.exists():
        print("nothing measured: Ray is not installed; `make test-bulk` installs it")
        return 1
    payloads = Payloads(options.repository.resolve(), SCALING.build)
    count = options.copies * len(payloads.images)
    ways = {
        "Ray Data, without a server": over_ray(payloads, options.copies),
        "`predict_batch` of one client, native transport": over_native(payloads, options.copies),
    }
    rows = [[way, f"{count:,}", f"{seconds:.1f}", f"{count / seconds:,.0f}"] for way, seconds in ways.items()]
    how = f"{datetime.now(UTC):%Y-%m-%d}, on two cores, which the client shares with its server:"
    text = f"{how}\n\n{table(['way', 'images', 'seconds', 'images/s'], rows)}"
    print(text)
    if not options.quick:
        replace_figures(SCALING.page, text, BEGIN, END)
    return 0


def over_ray(payloads: Payloads, copies: int) -> float:
    """Seconds from reading Parquet to written scores, the start of Ray's actors included, that of Ray itself not."""
    version = max((payloads.repository / "digits").glob("[0-9]*"), key=lambda path: int(path.name))
    with tempfile.TemporaryDirectory() as folder:
        given, saved = Path(folder, "images"), Path(folder, "images.npy")
        given.mkdir()
        np.save(saved, payloads.images)
        _run([RAY_PYTHON, "-c", WRITER, saved, str(copies), given])
        told = _run([RAY_PYTHON, EXAMPLE / "score.py", version, given, Path(folder, "scores")])
    scored = re.search(r"scored ([\d,]+) images in ([\d.]+) s", told)
    if scored is None or int(scored[1].replace(",", "")) != copies * len(payloads.images):
        raise SystemExit(f"expected {copies} times the test set to be scored; the job said {told.strip()[-200:]!r}")
    return float(scored[2])


def over_native(payloads: Payloads, copies: int) -> float:
    """Seconds that `predict_batch` takes for the same images, which must be answered like those of the test set."""
    (server,) = (each for each in all_servers(payloads, 1) if each.name == "digits-native")
    images = np.tile(payloads.images, (copies, 1, 1))
    with Running(server, CORES, SCALING.build / "bulk-server.log") as running, Client(running.address) as client:
        running.first_answer(payloads.images[:1])
        begin = time.perf_counter()
        predictions = client.predict_batch(images, timeout=TIME_LIMIT)
        seconds = time.perf_counter() - begin
    expected = np.tile(payloads.network(payloads.images).argmax(axis=1), copies)
    if not np.array_equal(predictions.digits, expected):
        raise SystemExit("the server's digits are not those of the published network")
    return seconds


def _run(command: list[str | Path]) -> str:
    ended = subprocess.run(on_cores(CORES, command), capture_output=True, text=True, timeout=TIME_LIMIT, check=False)
    if ended.returncode:
        raise SystemExit(f"{' '.join(map(str, command[:2]))} failed: {ended.stderr.strip()[-500:]}")
    return ended.stdout


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.scaling.bulk", description=__doc__)
    parser.add_argument("--repository", type=Path, default=ROOT / "models", help="model repository to serve from")
    parser.add_argument("--copies", type=int, default=20, help="of the 10,000 test images")
    parser.add_argument("--quick", action="store_true", help="only print; the page stays as it is")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
