"""Random model files for the checks that real files pass, for any length of time.

    python -m support.attacks.fuzz DOOR MODEL [--count N] [--seconds S] [--first SEED]

makes and tries the inputs of all seeds in a separate process. If the process dies or hangs, its seed is reported, and
another process continues after it. Exits with 1 if that happened.
"""

import argparse
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.models.graphs import random_model
from support.models.keras_files import random_h5_file, random_keras_file, random_saved_model
from support.models.warm_loader import WarmLoader

HANG_SECONDS = 120.0
"""Deadline of one input, on a machine that is busy with other work."""

UNLISTED = 77
"""Exit code of a process in which Keras looked up something that is not on the list."""

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


def _watch() -> None:
    """From now on, Keras may look up nothing but layers, models and activations; anything else ends this process."""
    from keras.src.legacy.saving import serialization
    from keras.src.saving import serialization_lib

    from digits_training.settings import ACTIVATIONS
    from digits_training.untrusted.layers import LAYERS

    harmless = {*LAYERS, *ACTIVATIONS, "Model", "Functional", "Sequential", "DTypePolicy"}
    harmless |= {"GlorotUniform", "Zeros", "Ones"}  # the initial values of layers that name none
    modern, legacy = (
        serialization_lib._retrieve_class_or_fn,
        serialization.class_and_config_for_serialized_keras_object,
    )

    def look_up(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name not in harmless:
            os._exit(UNLISTED)
        return modern(name, *arguments, **keywords)

    def look_up_old(config: Any, *arguments: Any, **keywords: Any) -> Any:
        if config["class_name"] not in harmless:
            os._exit(UNLISTED)
        return legacy(config, *arguments, **keywords)

    serialization_lib._retrieve_class_or_fn = look_up
    serialization.class_and_config_for_serialized_keras_object = look_up_old


def _keep_warm() -> None:
    """From now on, one process starts TensorFlow for all files: that takes longer than to read a file."""
    from digits_training.importing import loading

    setattr(loading, "load_in_child", WarmLoader())  # noqa: B010 - for mypy it is another function


def _imported(path: Path) -> str:
    from digits_training.errors import ModelFileError
    from digits_training.importing import loading

    try:
        loading.load(path)
    except ModelFileError:
        return "refused"
    except MemoryError:
        return "failed"
    return "ran"


def keras(model: bytes) -> Callable[[int], str]:
    """The door of `digits-train import` for `.keras` files."""
    path = Path(tempfile.mkdtemp(prefix="fuzz-")) / "model.keras"
    return _files(path, lambda seed: random_keras_file(model, seed))


def h5(model: bytes) -> Callable[[int], str]:
    """The same for legacy `.h5` files; `model` is a `.keras` file, saved anew first."""
    import keras

    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    (folder / "model.keras").write_bytes(model)
    keras.models.load_model(folder / "model.keras", compile=False).save(folder / "good.h5")
    good = (folder / "good.h5").read_bytes()
    return _files(folder / "model.h5", lambda seed: random_h5_file(good, seed))


def _files(path: Path, make: Callable[[int], bytes]) -> Callable[[int], str]:
    """Imports the file that belongs to a seed, from `path`."""
    _watch()
    _keep_warm()

    def one(seed: int) -> str:
        path.write_bytes(make(seed))
        return _imported(path)

    return one


def saved_models(model: bytes) -> Callable[[int], str]:
    """The door of `digits-train import` for SavedModels; `model` is a `.keras` file, exported first."""
    import keras

    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    (folder / "model.keras").write_bytes(model)
    keras.models.load_model(folder / "model.keras", compile=False).export(folder / "good", verbose=False)
    _keep_warm()

    def one(seed: int) -> str:
        path = folder / "saved"
        shutil.rmtree(path, ignore_errors=True)
        random_saved_model(folder / "good", path, seed)
        return _imported(path)

    return one


DOORS = {"graphs": graphs, "keras": keras, "h5": h5, "saved_models": saved_models}


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
