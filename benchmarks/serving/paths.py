"""Where things lie."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "benchmarks" / "serving"
BUILD = SOURCES / "build"
"""Everything a run makes and nobody commits: C++ binaries, payloads, logs."""

PYTHONPATH = f"{ROOT}:{ROOT / 'proto'}"
"""What servers of ours are started with."""

RESULTS = BUILD / "results.json"
PAGE = ROOT / "docs" / "performance.md"
PLOT = ROOT / "docs" / "performance.png"
SCRIPTS = Path(sys.executable).parent
"""The project's virtual environment: digits-server lies beside the running Python."""

PEERS = Path(os.environ.get("DIGITS_BENCH_PEERS", Path.home() / ".cache" / "digits-benchmarks"))
"""Virtual environments of what is compared with, each in a folder of its own. Outside the repository: they are big."""
