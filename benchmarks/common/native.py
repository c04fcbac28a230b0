"""The C++ programs: the echo and the open-loop load generator, built with Debian's gRPC if it is installed."""

import shutil
import subprocess
from pathlib import Path

from benchmarks.common.paths import BENCHMARKS, ROOT, SERVING

PROTO = ROOT / "proto"
STUBS = SERVING.build / "stubs"
TOOLS = {
    "g++": "g++",
    "pkg-config": "pkg-config",
    "protoc": "protobuf-compiler",
    "grpc_cpp_plugin": "protobuf-compiler-grpc",
}  # program: Debian package
LIBRARIES = ["grpc++", "protobuf"]


class NotBuilt(Exception):
    """A C++ program cannot be built here; the message says why."""


def binary(name: str) -> Path:
    """The program made of `name`.cc, rebuilt if its source is newer. Raises NotBuilt."""
    (source,), program = BENCHMARKS.glob(f"*/{name}.cc"), SERVING.build / name
    protos = sorted(PROTO.glob("digits/v1/*.proto"))
    if program.exists() and program.stat().st_mtime > max(path.stat().st_mtime for path in (source, *protos)):
        return program
    absent = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if absent:
        raise NotBuilt(f"Debian's {', '.join(absent)} not installed: run `make bench-peers`")
    STUBS.mkdir(parents=True, exist_ok=True)
    plugin = f"--plugin=protoc-gen-grpc={shutil.which('grpc_cpp_plugin')}"
    _run(["protoc", f"-I{PROTO}", f"--cpp_out={STUBS}", f"--grpc_out={STUBS}", plugin, *map(str, protos)])
    flags = _run(["pkg-config", "--cflags", "--libs", *LIBRARIES]).split()
    stubs = map(str, sorted(STUBS.glob("digits/v1/*.cc")))
    _run(["g++", "-std=c++17", "-O2", f"-I{STUBS}", str(source), *stubs, "-o", str(program), *flags])
    return program


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise NotBuilt(f"{command[0]} failed: {done.stderr.strip().splitlines()[0]}")
    return done.stdout
