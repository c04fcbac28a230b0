"""The supervisor: runs N workers, replaces those that end or hang, answers for all of them, and drains them.

It serves nothing itself, and does not import gRPC, NumPy or a runtime.
"""

import asyncio
import dataclasses
import logging
import os
import signal
import sys
from typing import Any

from digits_server import flags
from digits_server.errors import OperatorError
from digits_server.observability import logs
from digits_server.settings import Settings
from digits_server.system import service_manager
from digits_server.system.ports import claim_port, hold_port
from digits_server.system.signals import stop_signal
from digits_server.transports.choice import choose
from digits_server.workers.children import Children
from digits_server.workers.merging import Family, lasting, merge, pruned, rounded
from digits_server.workers.process import REPORT_SECONDS, WorkerProcess
from digits_server.workers.process_role import JOINS

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 30.0
"""Seconds before a worker that ended is replaced: doubled each time it ends soon, up to a bound."""

STEADY_SECONDS = 60.0
"""A worker that lived at least this long did not end soon."""

SLACK_SECONDS = 5.0
"""Time after the grace period in which workers may end by themselves."""


def supervise(settings: Settings) -> None:
    """Serves with `settings.workers` processes until SIGTERM or SIGINT. Raises OperatorError when it cannot start."""
    if sys.platform != "linux":
        raise OperatorError("--workers: more than one needs Linux, whose kernel spreads connections over them")
    asyncio.run(_supervise(settings))


async def _supervise(settings: Settings) -> None:
    await Supervisor(settings).run(stop_signal())


class Supervisor:
    """All workers of one server. Make it inside the event loop it will run on."""

    def __init__(self, settings: Settings) -> None:
        """Holds both ports. Raises AddressUnavailable."""
        self._settings = settings
        self._grpc = hold_port(settings.host, settings.grpc_port, "gRPC")
        self._http = hold_port(settings.host, settings.http_port, "HTTP")
        self._claims = [claim_port(self._grpc), claim_port(self._http)]
        self._grpc_port, self._http_port = self._grpc.getsockname()[1], self._http.getsockname()[1]
        worker = dataclasses.replace(
            settings,
            workers=1,
            grpc_port=self._grpc_port,
            http_port=self._http_port,
            log_format="json" if logs.is_json(settings.log_format) else "text",
        )
        self._environment = {**os.environ, **flags.to_environment(worker)}
        self._children = Children()
        self._workers: dict[int, WorkerProcess] = {}
        self._left: list[Family] = []
        """Counts of workers that have ended, and of versions that workers have forgotten."""
        self._replaced = {"ended": 0, "hung": 0}
        self._draining = asyncio.Event()
        self._has_listened = self._has_been_ready = False

    async def run(self, stopping: "asyncio.Future[None]") -> None:
        """Serves until `stopping` is done, then drains. Raises OperatorError when a worker cannot start."""
        keepers = [asyncio.create_task(self._keep(number + 1)) for number in range(self._settings.workers)]
        try:
            await asyncio.wait((stopping, *keepers), return_when=asyncio.FIRST_COMPLETED)
            for keeper in keepers:
                if keeper.done():
                    keeper.result()
            await self._drain(keepers)
        finally:
            self._signal(signal.SIGKILL)
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)  # only one reason is logged; the others are the same

    async def _keep(self, number: int) -> None:
        """Runs worker `number` and its successors until the server drains. Raises OperatorError if none ever serves."""
        served = False
        pause = FIRST_PAUSE
        while not self._draining.is_set():
            begin = asyncio.get_running_loop().time()
            try:
                worker = self._start(number)
            except OSError as error:  # no descriptors, processes or memory left: the other workers serve on
                if not served:
                    raise OperatorError(f"worker {number} cannot be started: {error.strerror}") from error
                pause = min(2 * pause, LONGEST_PAUSE)
                why = {"worker": number, "error": error.strerror, "tried_again_in_seconds": pause}
                log.error("a worker cannot be started", extra=why)
                await _either(self._draining, pause)
                continue
            code = await worker.run()
            del self._workers[number]
            self._leave(lasting(worker.report))
            served = served or worker.served
            if self._draining.is_set():
                return
            if not served:
                raise OperatorError(worker.failure or f"worker {number} ended before it was ready: {_how(code)}")
            self._replaced["hung" if worker.hung else "ended"] += 1
            if asyncio.get_running_loop().time() - begin >= STEADY_SECONDS:
                pause = FIRST_PAUSE
            log.error(
                "a worker did not answer and was killed" if worker.hung else "a worker ended",
                extra={
                    "worker": number,
                    "pid": worker.pid,
                    "end": worker.failure or _how(code),
                    "replaced_in_seconds": pause,
                },
            )
            await _either(self._draining, pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _start(self, number: int) -> WorkerProcess:
        async def answer(question: str, argument: Any) -> Any:
            return await self._answer(worker, question, argument)

        joins = any(other.serves for other in self._workers.values())
        worker = WorkerProcess(
            number,
            self._children,
            {**self._environment, JOINS: "1" if joins else ""},
            self._settings.worker_timeout,
            answer,
            leave=self._leave,
        )
        self._workers[number] = worker
        return worker

    async def _answer(self, worker: WorkerProcess, question: str, argument: Any) -> Any:
        match question:
            case "listening":
                worker.listens = True
                self._say_listening()
            case "serving":
                worker.serves = worker.served = True
                log.info("worker ready", extra={"worker": worker.number, "pid": worker.pid})
                self._say_ready()
            case "failed":
                worker.failure = str(argument)
            case "ready":
                return self._ready
            case "metrics":
                return await self._metrics()
        return None

    @property
    def _ready(self) -> bool:
        """Whether every worker serves."""
        serving = sum(worker.serves for worker in self._workers.values())
        return serving == self._settings.workers and not self._draining.is_set()

    def _say_listening(self) -> None:
        listening = sum(worker.listens for worker in self._workers.values())
        if listening == self._settings.workers and not self._has_listened:
            self._has_listened = True
            ports = {"grpc": self._grpc_port, "http": self._http_port}
            more = {"workers": self._settings.workers, **choose(self._settings).fields}
            log.info("listening", extra={"host": self._settings.host, **ports, **more})

    def _say_ready(self) -> None:
        if self._ready and not self._has_been_ready:
            self._has_been_ready = True
            log.info("ready")
            service_manager.tell(service_manager.READY)

    def _leave(self, counts: list[Family]) -> None:
        """Keeps counts that no worker reports from now on."""
        self._left = pruned(merge([self._left, counts]), (worker.report for worker in self._workers.values()))

    async def _metrics(self) -> list[Family]:
        """The present metrics of the whole server."""
        await asyncio.gather(*(worker.renew(REPORT_SECONDS) for worker in self._workers.values()))
        reports = [worker.report for worker in self._workers.values()]
        return [*rounded(merge([*reports, self._left])), *self._own()]

    def _own(self) -> list[Family]:
        """The metrics of the supervisor itself."""
        serving = sum(worker.serves for worker in self._workers.values())
        return [
            {
                "name": "digits_workers_ready",
                "help": "Worker processes that answer predictions.",
                "type": "gauge",
                "samples": [("digits_workers_ready", {}, serving)],
            },
            {
                "name": "digits_worker_replacements",
                "help": "Worker processes that were replaced, because they ended or hung.",
                "type": "counter",
                "samples": [
                    ("digits_worker_replacements_total", {"reason": reason}, count)
                    for reason, count in self._replaced.items()
                ],
            },
        ]

    async def _drain(self, keepers: "list[asyncio.Task[None]]") -> None:
        """Drains every worker; those that do not end in time are killed."""
        grace = self._settings.shutdown_grace
        log.info("draining", extra={"grace_seconds": grace})
        service_manager.tell(service_manager.STOPPING)
        self._draining.set()
        self._signal(signal.SIGTERM)
        await asyncio.wait(keepers, timeout=grace + SLACK_SECONDS)
        self._signal(signal.SIGKILL)
        await asyncio.gather(*keepers)
        log.info("stopped")

    def _signal(self, number: signal.Signals) -> None:
        for worker in self._workers.values():
            worker.signal(number)


async def _either(event: asyncio.Event, seconds: float) -> None:
    """Returns when `event` is set, after `seconds` at the latest."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


def _how(code: int) -> str:
    """How a process with this exit code ended, in words."""
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
