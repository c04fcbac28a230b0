"""The shipped Envoy in front of two real servers: no caller notices that one of them stops.

The callers here never retry: the proxy does. How it treats its callers does not depend on the servers' transport.
"""

import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.calls.steady_load import STOCK, SteadyLoad
from support.programs.kustomize import containers, only, render
from support.servers.front_proxy import STOP_SECONDS, FrontProxy, front_proxy, ports_of
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess
from support.waiting import until
from support.wire.http2 import DEADLINE

CALLERS = 16
BEHIND_ENVOY = Path(__file__).parents[2] / "deploy" / "kubernetes" / "overlays" / "behind-envoy"


@pytest.fixture(scope="module")
def servers(repository: Path, transport: str) -> Iterator[list[ServerProcess]]:  # noqa: ARG001
    """Two that no test may stop."""
    with ExitStack() as closing:
        yield started(repository, 2, closing)


def started(repository: Path, count: int, closing: ExitStack) -> list[ServerProcess]:
    return [closing.enter_context(ServerProcess("--repository", repository)).wait_ready() for _ in range(count)]


@pytest.fixture
def proxy(servers: list[ServerProcess], tmp_path: Path) -> Iterator[FrontProxy]:
    with front_proxy(tmp_path, [ports_of(each) for each in servers]) as running:
        yield running


@OVER_BOTH_TRANSPORTS
def test_servers_killed_and_stopped_under_load_are_not_missed_until_all_are_gone(
    repository: Path, tmp_path: Path
) -> None:
    """Then callers get UNAVAILABLE."""
    with ExitStack() as closing:
        servers = started(repository, 3, closing)
        proxy = closing.enter_context(front_proxy(tmp_path, [ports_of(each) for each in servers]))
        with SteadyLoad(proxy.target, CALLERS) as load:
            load.wait_for_more(200)
            servers[0].kill()
            load.wait_for_more(500)
            servers[1].terminate()
            assert servers[1].wait() == 0
            load.wait_for_more(200)
        assert load.outcomes.keys() == {"OK"}
        servers[2].kill()
        until(lambda: proxy.counter("cluster.digits.membership_healthy") == 0, "Envoy finds no healthy server")
        with SteadyLoad(proxy.target, 1) as load:
            load.wait_for_more(3)
        assert {outcome.partition(":")[0] for outcome in load.outcomes} == {"UNAVAILABLE"}


def test_a_proxy_that_drains_is_not_missed_where_there_is_another(
    proxy: FrontProxy, servers: list[ServerProcess], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with front_proxy(tmp_path_factory.mktemp("second"), [ports_of(each) for each in servers]) as second:
        with SteadyLoad(f"ipv4:{proxy.target},{second.target}", CALLERS, STOCK) as load:
            load.wait_for_more(200)
            proxy.drain()
            proxy.process.terminate()
            proxy.process.wait(STOP_SECONDS)
            load.wait_for_more(200)
        outcomes = load.outcomes
        # A stock client connects again to a draining port, and may have a call in flight there when it closes.
        assert outcomes.pop("OK") > 400
        assert sum(outcomes.values()) <= CALLERS
        assert all(outcome.startswith("UNAVAILABLE") for outcome in outcomes), outcomes


def test_connections_that_are_old_end_and_no_call_is_lost(servers: list[ServerProcess], tmp_path: Path) -> None:
    with (
        front_proxy(tmp_path, [ports_of(each) for each in servers], connection_seconds=1) as proxy,
        # A stock channel sends a call again that left while its connection was being ended.
        SteadyLoad(proxy.target, CALLERS, STOCK) as load,
    ):
        old = "http.grpc.downstream_cx_max_duration_reached"
        until(lambda: proxy.counter(old) >= 2 * CALLERS, "every caller has had to connect again")
    assert load.outcomes.keys() == {"OK"}


def test_kubernetes_has_a_proxy_drain_before_it_stops_it(proxy: FrontProxy) -> None:
    (container,) = containers(only(render(BEHIND_ENVOY), "Deployment", "digits-envoy"))
    *bash, script = container["lifecycle"]["preStop"]["exec"]["command"]
    script = script.replace("/9901", f"/{proxy.admin}").partition("&& sleep")[0]
    done = subprocess.run([*bash, script], capture_output=True, text=True, timeout=DEADLINE, check=True)
    assert done.stdout.startswith("HTTP/1.1 200 OK")
    until(lambda: not listens(proxy.target), "it has closed its ports")


def listens(target: str) -> bool:
    host, _, port = target.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=DEADLINE).close()
    except ConnectionRefusedError:
        return False
    return True


@OVER_BOTH_TRANSPORTS
def test_both_servers_answer_over_grpc_and_http_but_show_no_metrics(
    proxy: FrontProxy, servers: list[ServerProcess]
) -> None:
    with SteadyLoad(proxy.target, CALLERS) as load:
        load.wait_for_more(200)
    assert load.outcomes.keys() == {"OK"}
    assert all(each.metric("digits_predictions_total") > 0 for each in servers)
    with urllib.request.urlopen(f"{proxy.web}/readyz", timeout=10) as page:
        assert page.status == 200
    with pytest.raises(urllib.error.HTTPError, match="404") as refused:
        urllib.request.urlopen(f"{proxy.web}/metrics", timeout=10)
    refused.value.close()
