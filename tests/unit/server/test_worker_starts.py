"""The supervisor while the system gives no process: at the start it says why; later it tries again and again."""

import asyncio
import errno
from typing import Any

import pytest

from digits_server.errors import OperatorError
from digits_server.settings import Settings
from digits_server.workers import supervisor
from digits_server.workers.supervisor import Supervisor

SECONDS = 30.0


class Worker:
    """A worker that serves and then ends at once."""

    def __init__(self, **state: Any) -> None:
        self.report: list[Any] = []
        self.served, self.serves, self.hung, self.failure, self.pid = True, False, False, None, 1
        vars(self).update(state)

    async def run(self) -> int:
        return -9


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses of a supervisor, none of which is waited for."""
    pauses: list[float] = []

    async def either(_: asyncio.Event, seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr(supervisor, "_either", either)
    return pauses


def supervising(monkeypatch: pytest.MonkeyPatch, *outcomes: Any) -> Supervisor:
    """A supervisor whose worker starts have these outcomes; it drains after the last one."""
    made = Supervisor(Settings(host="127.0.0.1", grpc_port=0, http_port=0, workers=2))
    left = list(outcomes)

    def start(number: int) -> Any:
        outcome = left.pop(0)
        if not left:
            made._draining.set()
        if isinstance(outcome, Exception):
            raise outcome
        made._workers[number] = outcome
        return outcome

    monkeypatch.setattr(made, "_start", start)
    return made


def release(made: Supervisor) -> None:
    for held in (made._grpc, made._http, *made._claims):
        if held is not None:
            held.close()


FULL = OSError(errno.EAGAIN, "Resource temporarily unavailable")


async def test_the_first_worker_that_cannot_be_started_ends_the_server_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    made = supervising(monkeypatch, FULL, Worker())
    with pytest.raises(OperatorError, match="worker 1 cannot be started: Resource temporarily unavailable"):
        await made._keep(1)
    assert pauses == []
    release(made)


async def test_a_worker_that_cannot_be_replaced_is_tried_again_after_longer_and_longer_pauses(
    monkeypatch: pytest.MonkeyPatch, pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    made = supervising(monkeypatch, Worker(), *[FULL] * 12, Worker())
    await asyncio.wait_for(made._keep(1), SECONDS)
    first, *others = pauses
    assert first == supervisor.FIRST_PAUSE
    assert others == sorted(others)
    assert others[-1] == supervisor.LONGEST_PAUSE
    assert len(others) == 12
    assert caplog.text.count("a worker cannot be started") == 12
    release(made)


@pytest.mark.parametrize(("steady", "second"), [(0.0, supervisor.FIRST_PAUSE), (3600.0, 2 * supervisor.FIRST_PAUSE)])
async def test_only_a_worker_that_lived_long_is_replaced_without_a_longer_pause(
    monkeypatch: pytest.MonkeyPatch, pauses: list[float], steady: float, second: float
) -> None:
    monkeypatch.setattr(supervisor, "STEADY_SECONDS", steady)
    made = supervising(monkeypatch, Worker(), Worker(hung=True), Worker())
    await asyncio.wait_for(made._keep(1), SECONDS)
    assert pauses == [supervisor.FIRST_PAUSE, second]
    assert made._replaced == {"ended": 1, "hung": 1}
    release(made)


async def test_a_worker_that_ends_before_it_is_ready_ends_the_server_with_its_message(
    monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    made = supervising(monkeypatch, Worker(served=False, failure="there is no model"), Worker())
    with pytest.raises(OperatorError, match="there is no model"):
        await made._keep(1)
    assert pauses == []
    release(made)
