"""`python -m benchmarks.containers`: builds both images from scratch, and after a change of code.

It rewrites the figures in docs/deploying.md.

Needs a container engine. Builds share the machine's network.
"""

import json
import shutil
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.common.paths import ROOT
from benchmarks.common.report import replace_figures

PAGE = ROOT / "docs" / "deploying.md"
BEGIN = "<!-- figures: begin (python -m benchmarks.containers) -->"
BASE = "python:3.11-slim-bookworm"
SOURCES = {"server": "server/src/digits_server/__init__.py", "training": "training/src/digits_training/__init__.py"}
CONTEXT = ("proto", "requirements", "server", "training", ".dockerignore")
LIMIT = 1800.0
"""Seconds one build may take."""

DOCKER = shutil.which("docker") or "docker"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder)
        for name in CONTEXT:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, context / name)
        rows = [_row(name, context) for name in SOURCES]
    today = datetime.now(UTC).date().isoformat()
    head = "| image | adds to its base | built with nothing cached | built after a change of code |"
    text = "\n".join([f"Measured {today}, base {BASE} at hand.", "", head, "| --- | --- | --- | --- |", *rows])
    replace_figures(PAGE, text, BEGIN)


def _row(name: str, context: Path) -> str:
    tag = f"digits-benchmark-{name}"
    first = _build(name, tag, context, "--no-cache")
    with (context / SOURCES[name]).open("a") as source:
        source.write("# A change of code.\n")
    again = _build(name, tag, context)
    added = _size(tag) - _size(BASE)
    subprocess.run([DOCKER, "image", "rm", tag], check=True, stdout=subprocess.DEVNULL)
    return f"| digits-{name} | {added / 1e6:,.0f} MB | {first:.0f} s | {again:.0f} s |"


def _build(name: str, tag: str, context: Path, *flags: str) -> float:
    """Seconds that it took."""
    begin = time.perf_counter()
    command = [DOCKER, "build", "--quiet", "--network=host", f"--build-arg=BASE={BASE}", *flags]
    command.append(f"--file={context / name / 'Dockerfile'}")
    done = subprocess.run(
        [*command, f"--tag={tag}", str(context)], capture_output=True, text=True, check=False, timeout=LIMIT
    )
    if done.returncode:
        raise SystemExit(f"{tag} was not built: {done.stderr[-500:]}")
    return time.perf_counter() - begin


def _size(image: str) -> int:
    """Bytes of all its layers."""
    done = subprocess.run([DOCKER, "inspect", image], capture_output=True, text=True, check=True)
    return int(json.loads(done.stdout)[0]["Size"])


if __name__ == "__main__":
    main()
