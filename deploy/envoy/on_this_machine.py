"""Envoy in front of servers of this machine, with the limits of envoy.yaml.

    python deploy/envoy/on_this_machine.py 50051:8080                       one server: its gRPC port and HTTP port
    python deploy/envoy/on_this_machine.py --tls DIR --host 0.0.0.0 50051:8080   in TLS, for the network

DIR has tls.crt and tls.key, and ca.crt if callers are to show certificates. Ports without TLS are on 127.0.0.1 only.
Stops on SIGTERM or Ctrl-C, once the calls in flight are answered.
"""

import argparse
import importlib.util
import json
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).parent
ENVOY = Path(sysconfig.get_path("scripts")) / "envoy"
LOCAL = "127.0.0.1"
PORTS = {"grpc": 50052, "web": 8081, "metrics": 9902, "admin": 9901}
"""Beside those of one server of this machine."""
TLS_PORTS = {"grpc_tls": 50443, "grpc_mutual_tls": 50444, "web_tls": 8443}
CONFIGURATION, CERTIFICATES = "/etc/envoy", "/etc/digits-tls"
"""Where containers have the files of this folder, and the certificates."""

DRAIN_SECONDS = 2
"""How long Envoy announces on its connections that it accepts no more calls, before it closes its ports."""
STOP_SECONDS = 25.0
"""The most time that calls in flight have to finish at a stop."""
LOOK_SECONDS = 0.1
QUIET_LOOKS = 5
"""Checks in a row that must find no call, because a client can be between two calls."""


def configuration(
    servers: Sequence[tuple[int, int]], ports: Mapping[str, int], *, host: str = LOCAL, folder: Path = SHIPPED
) -> dict[str, Any]:
    """The shipped configuration with the addresses of this machine.

    servers  gRPC port and HTTP port of each, instead of those that DNS would return
    ports    by name of the listener; listeners that are not named are left out
    host     address of the listeners with TLS
    folder   where certificate.yaml and callers.yaml are
    """
    import yaml  # imported here, so that --help needs only Python

    changed: dict[str, Any] = yaml.safe_load((SHIPPED / "envoy.yaml").read_text().replace(CONFIGURATION, str(folder)))
    resources = changed["static_resources"]
    changed["admin"]["address"] = _address(ports["admin"])
    resources["listeners"] = [each for each in resources["listeners"] if each["name"] in ports]
    for listener in resources["listeners"]:
        listener["address"] = _address(ports[listener["name"]], host if listener["name"] in TLS_PORTS else LOCAL)
    behind = {
        "digits": [grpc for grpc, _ in servers],
        "digits_web": [http for _, http in servers],
        "admin": [ports["admin"]],
    }
    for cluster in resources["clusters"]:
        (endpoints,) = cluster["load_assignment"]["endpoints"]
        endpoints["lb_endpoints"] = [{"endpoint": {"address": _address(port)}} for port in behind[cluster["name"]]]
    return changed


def _address(port: int, host: str = LOCAL) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def written(
    folder: Path, servers: Sequence[tuple[int, int]], ports: Mapping[str, int], *, host: str, tls: Path | None
) -> Path:
    """Writes everything that Envoy reads into `folder`; returns the path of its configuration. `tls`: see --tls."""
    for name in ("certificate.yaml", "callers.yaml"):
        content = (SHIPPED / name).read_text()
        (folder / name).write_text(content.replace(CERTIFICATES, str(tls)) if tls else content)
    path = folder / "envoy.json"
    path.write_text(json.dumps(configuration(servers, ports, host=host, folder=folder), indent=1))
    return path


def command(configuration: Path) -> list[str | Path]:
    """The command that runs Envoy with one thread."""
    flags = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]
    return [ENVOY, "--config-path", configuration, *flags, "--drain-time-s", str(DRAIN_SECONDS)]


def drain(admin: int) -> None:
    """Asks every client to reconnect elsewhere, closes the ports, and returns when the last call is answered."""
    _ask(admin, "/drain_listeners?graceful", method="POST")
    until = time.monotonic() + STOP_SECONDS
    time.sleep(DRAIN_SECONDS)
    quiet = 0
    while time.monotonic() < until and quiet < QUIET_LOOKS:
        quiet = 0 if _calls(admin) else quiet + 1
        time.sleep(LOOK_SECONDS)


def _calls(admin: int) -> int:
    """Calls and HTTP requests in flight."""
    page = json.loads(_ask(admin, r"/stats?format=json&filter=^http\.(grpc|web)\.downstream_rq_active$"))
    return sum(each["value"] for each in page["stats"] if "name" in each)


def _ask(admin: int, path: str, method: str = "GET") -> str:
    request = urllib.request.Request(f"http://{LOCAL}:{admin}{path}", method=method)
    with urllib.request.urlopen(request, timeout=10) as page:  # nosec B310
        return str(page.read().decode())


def run(path: Path, admin: int) -> int:
    """Runs Envoy until it ends or this process is told to stop; returns the exit code. A second stop is at once."""
    envoy = subprocess.Popen(command(path), start_new_session=True)
    try:
        return envoy.wait()
    except KeyboardInterrupt:
        with suppress(KeyboardInterrupt, urllib.error.URLError, ConnectionError):
            drain(admin)
        return 0
    finally:
        envoy.terminate()
        envoy.wait(STOP_SECONDS)


def _server(text: str) -> tuple[int, int]:
    grpc, _, http = text.partition(":")
    if not (grpc.isdigit() and http.isdigit()):
        raise argparse.ArgumentTypeError(f"expected the two ports of a server, such as 50051:8080, not {text!r}")
    return int(grpc), int(http)


def _port(text: str) -> tuple[str, int]:
    name, _, port = text.partition("=")
    if name not in PORTS | TLS_PORTS:
        raise argparse.ArgumentTypeError(
            f"no port has the name {name!r}; expected one of {', '.join(PORTS | TLS_PORTS)}"
        )
    if not port.isdigit():
        raise argparse.ArgumentTypeError(f"expected a number after {name}=, not {port!r}")
    return name, int(port)


def _folder(text: str) -> Path:
    folder = Path(text).resolve()
    missing = [name for name in ("tls.crt", "tls.key") if not (folder / name).is_file()]
    if missing:
        raise argparse.ArgumentTypeError(f"{text} has no {' and no '.join(missing)}")
    return folder


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Run Envoy in front of servers of this machine.")
    parser.add_argument(
        "servers", metavar="GRPC_PORT:HTTP_PORT", nargs="+", type=_server, help="the ports of a server on 127.0.0.1"
    )
    parser.add_argument(
        "--tls", metavar="DIR", type=_folder, help="listen with TLS, too: tls.crt, tls.key, and ca.crt for mutual TLS"
    )
    parser.add_argument("--host", default=LOCAL, help=f"address of the ports with TLS (default: {LOCAL})")
    defaults = ", ".join(f"{name}={port}" for name, port in (PORTS | TLS_PORTS).items())
    parser.add_argument(
        "--port",
        metavar="NAME=PORT",
        dest="ports",
        action="append",
        default=[],
        type=_port,
        help=f"another port for one of: {defaults}",
    )
    return parser


def _ports(tls: Path | None, chosen: Sequence[tuple[str, int]]) -> dict[str, int]:
    offered = dict(PORTS)
    if tls:
        mutual = (tls / "ca.crt").is_file()
        offered |= {name: port for name, port in TLS_PORTS.items() if mutual or name != "grpc_mutual_tls"}
    return {name: dict(chosen).get(name, port) for name, port in offered.items()}


def main() -> int:
    chosen = _parser().parse_args()
    if not ENVOY.exists() or importlib.util.find_spec("yaml") is None:
        print(
            f"envoy: Envoy and PyYAML are not installed for {sys.executable}; run `make install` and use "
            ".venv/bin/python, or pip install -r requirements/envoy.txt",
            file=sys.stderr,
        )
        return 1
    ports = _ports(chosen.tls, chosen.ports)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="digits-envoy-") as folder:
        path = written(Path(folder), chosen.servers, ports, host=chosen.host, tls=chosen.tls)
        print("envoy:", ", ".join(f"{name} on {port}" for name, port in ports.items()), file=sys.stderr)
        return run(path, ports["admin"])


if __name__ == "__main__":
    sys.exit(main())
