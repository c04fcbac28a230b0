"""`python -m benchmarks.serving.peers`: installs what the comparison needs and the project does not.

Debian packages for h2load and the C++ programs, and a virtual environment outside the repository.
"""

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.common.paths import PEERS, SCRIPTS

DEBIAN = [
    "nghttp2-client",
    "g++",
    "pkg-config",
    "libgrpc++-dev",
    "libprotobuf-dev",
    "protobuf-compiler",
    "protobuf-compiler-grpc",
]
# PyTriton carries a Triton that embeds the libpython of the distribution: any other Python of the same version fails.
TRITON_PYTHON = "/usr/bin/python3"
TRITON = ["nvidia-pytriton==0.7.0"]


def main() -> int:
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *DEBIAN]
    if os.geteuid() == 0:
        _run("apt-get", "update")
        _run(*install)
    else:
        print(f"not root, so first run: sudo {' '.join(install)}")
    _environment(PEERS / "triton", TRITON_PYTHON, TRITON)
    return 0


def _environment(folder: Path, python: str, packages: list[str]) -> None:
    uv = SCRIPTS / "uv"
    _run(uv, "venv", "--allow-existing", "--python", python, folder)
    _run(uv, "pip", "install", "--python", folder / "bin" / "python", *packages)


def _run(*command: str | Path) -> None:
    print("+", *command, flush=True)
    subprocess.run(command, check=True)


if __name__ == "__main__":
    sys.exit(main())
