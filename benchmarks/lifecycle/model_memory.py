"""`python -m benchmarks.lifecycle.model_memory`: the memory that a server needs for a model of N bytes.

Networks of several sizes are trained on a few images, served, and published a second time, so that one version is
loaded while the other one serves. What the server and the process that tries versions out use together is looked at
all the time. Writes the figures between two markers of docs/operating.md.
"""

import argparse
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread

import numpy as np

from benchmarks.common.machine import describe
from benchmarks.common.paths import ROOT, SCRIPTS
from benchmarks.common.report import replace_figures
from benchmarks.servers.process_tree import memory
from benchmarks.servers.running import free_port
from digits_client import Client
from digits_training.data import read

PAGE = ROOT / "docs" / "operating.md"
BEGIN = "<!-- figures: begin (python -m benchmarks.lifecycle.model_memory) -->"
HIDDEN_UNITS = (20, 1024, 1536)
"""Of both hidden layers of the mlp."""
SAMPLE_SECONDS = 0.02
SERVED_SECONDS = 300.0
"""Deadline until a version serves."""
MIB = 2**20
IMAGES = 1000


@dataclass(frozen=True)
class Needed:
    """MiB: of model.tflite, of memory with one version, and the most while a second one takes its place."""

    model: float
    serving: float
    most: float


@contextmanager
def most(pid: int) -> Iterator[list[float]]:
    """A list that has, at the end, the most memory that the process and its children used at one time."""
    seen, ended = [0.0], Event()

    def look() -> None:
        while not ended.wait(SAMPLE_SECONDS):
            seen[0] = max(seen[0], memory(pid).rss)

    looking = Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        ended.set()
        looking.join()


def wait_for(client: Client, version: int) -> None:
    deadline = time.monotonic() + SERVED_SECONDS
    while client.model().manifest.model_version != version:
        if time.monotonic() > deadline:
            raise SystemExit(f"version {version} did not serve within {SERVED_SECONDS:.0f} s")
        time.sleep(0.05)


def publish_again(model_folder: Path) -> None:
    incoming = Path(shutil.copytree(model_folder / "1", model_folder / ".again"))
    manifest = json.loads((incoming / "manifest.json").read_text())
    manifest["modelVersion"] = "2"
    (incoming / "manifest.json").write_text(json.dumps(manifest))
    incoming.rename(model_folder / "2")


def few_images(folder: Path) -> Path:
    """The first images of MNIST as a file to train on: what a network has learnt takes no memory."""
    mnist = read(None)
    arrays = {f"x_{name}": part.images[:IMAGES] for name, part in (("train", mnist.train), ("test", mnist.test))}
    arrays |= {f"y_{name}": part.labels[:IMAGES] for name, part in (("train", mnist.train), ("test", mnist.test))}
    np.savez(folder / "few.npz", allow_pickle=False, **arrays)
    return folder / "few.npz"


def measure(units: int, folder: Path) -> Needed:
    """Trains, serves, publishes again."""
    train: list[str | Path] = [
        SCRIPTS / "digits-train",
        "train",
        "--repository",
        folder,
        "--hidden-sizes",
        f"{units},{units}",
    ]
    subprocess.run(
        [*train, "--data", few_images(folder), "--epochs", "1", "--force"], check=True, stdout=subprocess.DEVNULL
    )
    model = (folder / "digits/1/model.tflite").stat().st_size / MIB
    port = free_port()
    command: list[str | Path] = [
        SCRIPTS / "digits-server",
        "--repository",
        folder,
        "--grpc-port",
        str(port),
        "--http-port",
        "0",
    ]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server, Client(f"127.0.0.1:{port}") as client:
        try:
            with most(server.pid) as seen:
                client.wait_ready(SERVED_SECONDS)
                wait_for(client, 1)
                serving = memory(server.pid).rss
                publish_again(folder / "digits")
                wait_for(client, 2)
        finally:
            server.terminate()
    return Needed(model, serving, seen[0])


def figures(found: list[Needed]) -> str:
    machine = describe()["CPU"]
    smallest, largest = found[0], found[-1]
    factor = (largest.most - smallest.most) / (largest.model - smallest.model)
    lines = [
        f"Measured {datetime.now(UTC):%Y-%m-%d}: {machine}. MiB; the memory is that of the server and of the process",
        "that tries versions out, added up.",
        "",
        "| model.tflite | while it serves | the most, while the next one is loaded |",
        "|---|---|---|",
        *(f"| {each.model:.1f} | {each.serving:.0f} | {each.most:.0f} |" for each in found),
        "",
        f"So a model.tflite of N MiB takes {smallest.most:.0f} + {factor:.1f} × N MiB.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-page", action="store_true", help="print the figures and leave the page as it is")
    chosen = parser.parse_args()
    found = []
    for units in HIDDEN_UNITS:
        with tempfile.TemporaryDirectory(prefix="digits-model-memory-") as folder:
            found.append(measure(units, Path(folder)))
            print(units, found[-1], flush=True)
    text = figures(found)
    print(text)
    if not chosen.no_page:
        replace_figures(PAGE, text, BEGIN)


if __name__ == "__main__":
    main()
