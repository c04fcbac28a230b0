"""Envoy as the compose file configures it, in front of two real servers: no caller notices that one of them goes.

The callers here never try again: what they do not see, the proxy has mended.
"""

import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.front_proxy import FrontProxy, front_proxy
from support.servers import OVER_BOTH_TRANSPORTS, ServerProcess
from support.steady_load import SteadyLoad
from support.waiting import until

pytestmark = OVER_BOTH_TRANSPORTS

CALLERS = 16


@pytest.fixture
def servers(repository: Path) -> Iterator[list[ServerProcess]]:
    with ExitStack() as closing:
        yield [closing.enter_context(ServerProcess("--repository", repository)).wait_ready() for _ in range(2)]


@pytest.fixture
def proxy(servers: list[ServerProcess], tmp_path: Path) -> Iterator[FrontProxy]:
    with front_proxy(tmp_path, [(port_of(each.target), port_of(each.http)) for each in servers]) as running:
        yield running


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def test_a_server_killed_under_load_is_not_missed(proxy: FrontProxy, servers: list[ServerProcess]) -> None:
    with SteadyLoad(proxy.target, CALLERS) as load:
        load.wait_for_more(200)
        servers[0].kill()
        load.wait_for_more(500)
    assert load.outcomes().keys() == {"OK"}


def test_a_server_stopped_under_load_is_not_missed(proxy: FrontProxy, servers: list[ServerProcess]) -> None:
    with SteadyLoad(proxy.target, CALLERS) as load:
        load.wait_for_more(200)
        servers[0].terminate()
        assert servers[0].wait() == 0
        load.wait_for_more(200)
    assert load.outcomes().keys() == {"OK"}


def test_with_all_servers_gone_callers_are_told_unavailable(proxy: FrontProxy, servers: list[ServerProcess]) -> None:
    for each in servers:
        each.kill()
    until(lambda: proxy.counter("cluster.digits.membership_healthy") == 0, "Envoy finds nobody healthy")
    with SteadyLoad(proxy.target, 1) as load:
        load.wait_for_more(3)
    assert {outcome.partition(":")[0] for outcome in load.outcomes()} == {"UNAVAILABLE"}


def test_both_servers_answer_over_grpc_and_http_but_nobodys_metrics_are_shown(
    proxy: FrontProxy, servers: list[ServerProcess]
) -> None:
    with SteadyLoad(proxy.target, CALLERS) as load:
        load.wait_for_more(200)
    assert load.outcomes().keys() == {"OK"}
    assert all(each.metric("digits_predictions_total") > 0 for each in servers)
    with urllib.request.urlopen(f"{proxy.web}/readyz", timeout=10) as page:
        assert page.status == 200
    with pytest.raises(urllib.error.HTTPError, match="404") as refused:
        urllib.request.urlopen(f"{proxy.web}/metrics", timeout=10)
    refused.value.close()
