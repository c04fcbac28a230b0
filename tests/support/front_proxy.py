"""The Envoy of deploy/envoy/envoy.yaml in front of servers of this machine."""

import json
import subprocess
import sysconfig
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from support.ports import free_port
from support.waiting import until

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "envoy" / "envoy.yaml"
ENVOY = Path(sysconfig.get_path("scripts")) / "envoy"


class FrontProxy:
    """Where a proxy that runs takes calls, and what it knows."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        listeners = configuration["static_resources"]["listeners"]
        ports = {each["name"]: each["address"]["socket_address"]["port_value"] for each in listeners}
        self.target = f"127.0.0.1:{ports['grpc']}"
        self.web = f"http://127.0.0.1:{ports['web']}"
        self._admin = configuration["admin"]["address"]["socket_address"]["port_value"]

    def counter(self, name: str) -> int:
        """One of Envoy's statistics; 0 when it does not have it."""
        url = f"http://127.0.0.1:{self._admin}/stats?format=json&filter=^{name}$"
        with urllib.request.urlopen(url, timeout=10) as page:
            return sum(int(each["value"]) for each in json.load(page)["stats"] if each.get("name") == name)


@contextmanager
def front_proxy(folder: Path, servers: Sequence[tuple[int, int]]) -> Iterator[FrontProxy]:
    """The shipped configuration with these (gRPC port, HTTP port) behind it, once all of them are found healthy."""
    configuration = on_this_machine(yaml.safe_load(CONFIGURATION.read_text()), servers)
    path = folder / "envoy.json"
    path.write_text(json.dumps(configuration))
    with (folder / "envoy.log").open("w") as log:
        process = subprocess.Popen(
            [ENVOY, "--config-path", path, "--disable-hot-restart", "--concurrency", "1"], stdout=log, stderr=log
        )
        try:
            proxy = FrontProxy(configuration)
            until(lambda: _healthy(proxy) == len(servers), "Envoy finds every server healthy")
            yield proxy
        finally:
            process.kill()
            process.wait(30)


def on_this_machine(configuration: dict[str, Any], servers: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """The same proxy: listening on free ports of 127.0.0.1, `servers` instead of what DNS would find."""
    for place in [configuration["admin"], *configuration["static_resources"]["listeners"]]:
        place["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": free_port()}
    admin = configuration["admin"]["address"]
    ports = {
        "digits": [grpc for grpc, _ in servers],
        "digits_web": [http for _, http in servers],
        "admin": [admin["socket_address"]["port_value"]],
    }
    for cluster in configuration["static_resources"]["clusters"]:
        cluster["load_assignment"]["endpoints"][0]["lb_endpoints"] = [
            {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}
            for port in ports[cluster["name"]]
        ]
    return configuration


def _healthy(proxy: FrontProxy) -> int:
    try:
        return proxy.counter("cluster.digits.membership_healthy")
    except (urllib.error.URLError, ConnectionError):
        return 0
