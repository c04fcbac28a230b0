"""Where things are: the repository, programs, and the files of each suite of benchmarks."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"
PYTHONPATH = f"{ROOT}:{ROOT / 'proto'}"
"""What our servers are started with."""

SCRIPTS = Path(sys.executable).parent
"""The project's virtual environment: digits-server and digits-train are in the folder of the running Python."""

DIGITS_TRAIN = SCRIPTS / "digits-train"

PEERS = Path(os.environ.get("DIGITS_BENCH_PEERS", Path.home() / ".cache" / "digits-benchmarks"))
"""Virtual environments of the servers we compare with, each in a folder. Outside the repository: they are large."""


@dataclass(frozen=True)
class Suite:
    """The files of one suite: `name` is its folder below benchmarks/, `page` the page with its figures."""

    name: str
    page: Path

    @property
    def build(self) -> Path:
        """Files of a run that are not committed: programs in C++, payloads, logs."""
        return BENCHMARKS / self.name / "build"

    @property
    def results(self) -> Path:
        """The raw figures of the last run."""
        return self.build / "results.json"

    @property
    def plot(self) -> Path:
        """The plot of the figures, in the folder of the page."""
        return self.page.with_suffix(".png")


SERVING = Suite("serving", ROOT / "docs" / "performance.md")
CLIENT = Suite("client", ROOT / "docs" / "client.md")
SCALING = Suite("scaling", ROOT / "docs" / "scaling.md")
TRAINING = Suite("training", ROOT / "docs" / "training.md")
