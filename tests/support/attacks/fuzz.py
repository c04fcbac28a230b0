"""Random model files for the checks that real files pass, for any length of time.

    python -m support.attacks.fuzz DOOR MODEL [--count N] [--seconds S] [--first SEED]

makes and tries the inputs of all seeds in a separate process. If the process dies or hangs, its seed is reported, and
another process continues after it. Exits with 1 if that happened.
"""

import argparse
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from support.attacks.import_doors import IMPORTS, imports
from support.models.graphs import random_model

HANG_SECONDS = 120.0
"""Deadline of one input, on a machine that is busy with other work."""

SIZES = (1, 3, 16)
"""Images of the batches that an accepted model must compute."""


def graphs(model: bytes) -> Callable[[int], str]:
    """The door of `model.tflite`: the server's own LiteRT runtime, with nothing between it and this process."""
    import numpy as np

    from digits_server.errors import ModelRejected
    from digits_server.runtimes.litert import LiteRTRuntime

    def one(seed: int) -> str:
        try:
            runtime = LiteRTRuntime(random_model(model, seed))
            for size in SIZES:
                runtime.predict(np.zeros((size, 28, 28), np.uint8))
        except ModelRejected:
            return "refused"
        except RuntimeError:  # LiteRT cannot run what passed; the server rejects that too
            return "failed"
        return "ran"

    return one


DOORS = {"graphs": graphs, **IMPORTS, "imports": imports}


def work(door: str, model: Path, first: int) -> None:
    """Prints each seed before its turn, and its result afterwards."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    one = DOORS[door](model.read_bytes())
    seed = first
    while True:
        out.write(f"{seed}\n")
        out.write(f"{one(seed)}\n")
        seed += 1


class Worker:
    """The process that makes and tries the inputs from `first` on."""

    def __init__(self, door: str, model: Path, first: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.attacks.fuzz", door, model, "--first", str(first), "--work"],
            stdout=subprocess.PIPE,
            bufsize=0,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdout
        self._hung = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._process.stdout, selectors.EVENT_READ)

    def line(self) -> str:
        """Its next line; empty if it has died, or was killed because it took too long."""
        assert self._process.stdout
        if not self._selector.select(HANG_SECONDS):
            self._hung = True
            self._process.kill()
        return self._process.stdout.readline().decode().strip()

    def end(self) -> str:
        self._process.kill()
        code = self._process.wait()
        self._selector.close()
        assert self._process.stdout
        self._process.stdout.close()
        if self._hung:
            return f"no end within {HANG_SECONDS:.0f} s"
        return f"signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"exit code {code}"


def fuzz(door: str, model: Path, *, count: int, seconds: float, first: int = 0) -> tuple[Counter[str], list[str]]:
    """The number of inputs by result, and a line for each process that died."""
    outcomes: Counter[str] = Counter()
    deaths: list[str] = []
    end = time.monotonic() + seconds
    seed = first
    worker = Worker(door, model, seed)
    try:
        while seed < first + count and time.monotonic() < end:
            if worker.line() and (outcome := worker.line()):
                outcomes[outcome] += 1
            else:
                deaths.append(f"{door}, seed {seed}: {worker.end()}")
                worker = Worker(door, model, seed + 1)
            seed += 1
    finally:
        worker.end()
    return outcomes, deaths


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("door", choices=DOORS)
    parser.add_argument(
        "model", type=Path, help="a good model.tflite for graphs, a good .keras file for the other doors"
    )
    parser.add_argument("--count", type=int, default=sys.maxsize, help="inputs")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.work:
        work(chosen.door, chosen.model, chosen.first)
    begin = time.monotonic()
    outcomes, deaths = fuzz(chosen.door, chosen.model, count=chosen.count, seconds=chosen.seconds, first=chosen.first)
    sys.stdout.write(
        f"{chosen.door}: {outcomes.total() + len(deaths):,} inputs in {time.monotonic() - begin:.0f} s; "
        f"{dict(outcomes)}; {len(deaths)} deaths\n"
    )
    sys.stdout.writelines(f"{death}\n" for death in deaths)
    return 1 if deaths else 0


if __name__ == "__main__":
    sys.exit(main())
