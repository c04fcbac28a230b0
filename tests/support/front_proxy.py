"""The Envoy of deploy/envoy/envoy.yaml in front of servers of this machine."""

import json
import subprocess
import sysconfig
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from support.ports import free_port
from support.waiting import until

from deploy.envoy.on_this_machine import PORTS, configuration

ENVOY = Path(sysconfig.get_path("scripts")) / "envoy"


class FrontProxy:
    """Where a proxy that runs takes calls, and what it knows."""

    def __init__(self, ports: Mapping[str, int]) -> None:
        self.target = f"127.0.0.1:{ports['grpc']}"
        self.web = f"http://127.0.0.1:{ports['web']}"
        self._admin = ports["admin"]

    def counter(self, name: str) -> int:
        """One of Envoy's statistics; 0 when it does not have it."""
        url = f"http://127.0.0.1:{self._admin}/stats?format=json&filter=^{name}$"
        with urllib.request.urlopen(url, timeout=10) as page:
            return sum(int(each["value"]) for each in json.load(page)["stats"] if each.get("name") == name)


@contextmanager
def front_proxy(folder: Path, servers: Sequence[tuple[int, int]]) -> Iterator[FrontProxy]:
    """The shipped configuration with these (gRPC port, HTTP port) behind it, once all of them are found healthy."""
    ports = {name: free_port() for name in PORTS}
    path = folder / "envoy.json"
    path.write_text(json.dumps(configuration(servers, ports)))
    with (folder / "envoy.log").open("w") as log:
        process = subprocess.Popen(
            [ENVOY, "--config-path", path, "--disable-hot-restart", "--concurrency", "1"], stdout=log, stderr=log
        )
        try:
            proxy = FrontProxy(ports)
            until(lambda: _healthy(proxy) == len(servers), "Envoy finds every server healthy")
            yield proxy
        finally:
            process.kill()
            process.wait(30)


def _healthy(proxy: FrontProxy) -> int:
    try:
        return proxy.counter("cluster.digits.membership_healthy")
    except (urllib.error.URLError, ConnectionError):
        return 0
