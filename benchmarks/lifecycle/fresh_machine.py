"""`python -m benchmarks.lifecycle.fresh_machine`: from a fresh clone to the first answers, by `make demo`.

The clone has the last commit of this checkout, no virtual environment, no model, and empty caches of pip and uv. What
is told: seconds until the test set is classified, CPU seconds of everything, and the disk that `.venv` takes after it.
"""

import argparse
import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.common.machine import describe
from benchmarks.common.paths import ROOT
from benchmarks.servers.running import free_port

CLASSIFIED = "Classified the "
ENV = ("/usr/bin/env",)
"""Finds the programs."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--revision", default="HEAD", help="commit to measure (default: the last one)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="digits-fresh-") as folder:
        clone = Path(folder, "clone")
        subprocess.run([*ENV, "git", "clone", "--quiet", "--no-checkout", ROOT, clone], check=True)
        subprocess.run([*ENV, "git", "checkout", "--quiet", "--detach", chosen.revision], cwd=clone, check=True)
        caches = {name: str(Path(folder, name)) for name in ("UV_CACHE_DIR", "PIP_CACHE_DIR")}
        ports = {"DIGITS_GRPC_PORT": str(free_port()), "DIGITS_HTTP_PORT": str(free_port() + 1)}
        begun = time.monotonic()
        with subprocess.Popen(
            [*ENV, "make", "demo"], cwd=clone, env={**os.environ, **caches, **ports}, stdout=subprocess.PIPE, text=True
        ) as job:
            seconds = None
            for line in job.stdout or ():
                print(f"{time.monotonic() - begun:6.1f} {line}", end="", flush=True)
                if line.startswith(CLASSIFIED):
                    seconds = time.monotonic() - begun
        if job.returncode or seconds is None:
            raise SystemExit("make demo failed; the lines above say why")
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        disk = subprocess.run(
            [*ENV, "du", "-sm", ".venv"], cwd=clone, capture_output=True, text=True, check=True
        ).stdout
    print(describe()["CPU"])
    print(
        f"first answers after {seconds:.0f} s; {used.ru_utime + used.ru_stime:.0f} CPU seconds; "
        f".venv takes {disk.split()[0]} MB"
    )


if __name__ == "__main__":
    main()
