"""The Envoy of deploy/envoy in front of servers of this machine."""

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.envoy.on_this_machine import LOCAL, PORTS, TLS_PORTS, command, drain, written
from support.network.ports import free_port
from support.servers.process import ServerProcess
from support.waiting import until

STOP_SECONDS = 30
CONNECTION_SECONDS = 120
"""Age at which a connection accepts no further call, as shipped."""


class FrontProxy:
    """A running proxy: its addresses and its statistics. Addresses are "host:port"."""

    def __init__(self, process: subprocess.Popen[bytes], ports: Mapping[str, int]) -> None:
        self.process = process
        self.target = f"{LOCAL}:{ports['grpc']}"
        self.web = f"http://{LOCAL}:{ports['web']}"
        self.metrics = f"http://{LOCAL}:{ports['metrics']}"
        self.tls_target = f"{LOCAL}:{ports.get('grpc_tls')}"
        self.mutual_tls_target = f"{LOCAL}:{ports.get('grpc_mutual_tls')}"
        self.admin = ports["admin"]

    def counter(self, name: str) -> int:
        """One of Envoy's statistics; 0 if it does not exist."""
        url = f"http://127.0.0.1:{self.admin}/stats?format=json&filter=^{name}$"
        with urllib.request.urlopen(url, timeout=10) as page:
            return sum(int(each["value"]) for each in json.load(page)["stats"] if each.get("name") == name)

    def drain(self) -> None:
        """Tells callers to go elsewhere; returns when no call is in flight."""
        drain(self.admin)


@contextmanager
def front_proxy(
    folder: Path,
    servers: Sequence[tuple[int, int]],
    *,
    tls: Path | None = None,
    connection_seconds: int = CONNECTION_SECONDS,
) -> Iterator[FrontProxy]:
    """The shipped configuration with these (gRPC port, HTTP port) behind it, once all of them are found healthy.

    tls                 a folder with tls.crt, tls.key and ca.crt; None: no port has TLS
    connection_seconds  after which a connection takes no further call
    """
    ports = {name: free_port() for name in (PORTS | TLS_PORTS if tls else PORTS)}
    path = written(folder, servers, ports, host=LOCAL, tls=tls)
    age = '"max_connection_duration": "{}s"'.format
    shipped = path.read_text()
    assert age(CONNECTION_SECONDS) in shipped
    path.write_text(shipped.replace(age(CONNECTION_SECONDS), age(connection_seconds)))
    with (folder / "envoy.log").open("w") as log:
        process = subprocess.Popen(command(path), stdout=log, stderr=log)
        try:
            proxy = FrontProxy(process, ports)
            until(lambda: _listens(proxy) and _healthy(proxy) == len(servers), "Envoy finds every server healthy")
            yield proxy
        finally:
            process.kill()
            process.wait(STOP_SECONDS)


def ports_of(server: ServerProcess) -> tuple[int, int]:
    """The gRPC port and the HTTP port of a server."""
    return int(server.target.rpartition(":")[2]), int(server.http.rpartition(":")[2])


def _listens(proxy: FrontProxy) -> bool:
    try:
        return bool(proxy.counter("listener_manager.workers_started"))
    except (urllib.error.URLError, ConnectionError):
        return False


def _healthy(proxy: FrontProxy) -> int:
    return proxy.counter("cluster.digits.membership_healthy")
