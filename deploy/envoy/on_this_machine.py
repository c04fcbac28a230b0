"""The proxy of envoy.yaml for servers of this machine, which no DNS name stands for.

    python deploy/envoy/on_this_machine.py GRPC_PORT:HTTP_PORT … > envoy.json
    .venv/bin/envoy --config-path envoy.json

It listens on 127.0.0.1 only: gRPC on 50052, HTTP on 8081, its own metrics on 9902.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

SHIPPED = Path(__file__).with_name("envoy.yaml")
HOST = "127.0.0.1"
PORTS = {"grpc": 50052, "web": 8081, "metrics": 9902, "admin": 9901}
"""Beside those of one server of this machine."""


def configuration(servers: Sequence[tuple[int, int]], ports: Mapping[str, int]) -> dict[str, Any]:
    """What is shipped, with these (gRPC port, HTTP port) in the place of what DNS would find, listening on `ports`."""
    changed: dict[str, Any] = yaml.safe_load(SHIPPED.read_text())
    changed["admin"]["address"] = _address(ports["admin"])
    for listener in changed["static_resources"]["listeners"]:
        listener["address"] = _address(ports[listener["name"]])
    behind = {
        "digits": [grpc for grpc, _ in servers],
        "digits_web": [http for _, http in servers],
        "admin": [ports["admin"]],
    }
    for cluster in changed["static_resources"]["clusters"]:
        (endpoints,) = cluster["load_assignment"]["endpoints"]
        endpoints["lb_endpoints"] = [{"endpoint": {"address": _address(port)}} for port in behind[cluster["name"]]]
    return changed


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": HOST, "port_value": port}}


def main() -> None:
    servers = [(int(grpc), int(http)) for grpc, _, http in (each.partition(":") for each in sys.argv[1:])]
    json.dump(configuration(servers, PORTS), sys.stdout, indent=1)


if __name__ == "__main__":
    main()
