"""What runs inside Envoy: `application`, which builds the server when Envoy starts and answers its calls."""

import asyncio
import logging
import os
import shutil
import signal
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from digits_server import logs
from digits_server.app import App
from digits_server.errors import OperatorError
from digits_server.flags import from_environment
from digits_server.reloading import Reloading
from digits_server.rpcs import StreamRpc, UnaryRpc
from digits_server.signals import blocked_stop_signal, unblock_and_raise
from digits_server.tls import Identity
from digits_server.transports import Counts
from digits_server.transports.envoy.launch import FOLDER, HELD_SOCKET
from digits_server.transports.envoy.secrets import Secrets
from digits_server.transports.envoy.transport import EnvoyTransport
from digits_server.transports.limits import limits
from digits_server.workers.role import Role, own_role

log = logging.getLogger(__name__)


class Application:
    """The ASGI application. Envoy's module runs it on one event loop, in a thread of its own."""

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await self._transport.answer(scope, receive, send)
        else:
            await self._live(receive, send)

    async def _live(self, receive: Any, send: Any) -> None:
        """The life of the server. Envoy listens once its start is told to be complete."""
        await receive()
        asyncio.get_running_loop().set_exception_handler(_unless_late)
        self._role = own_role()
        with _said_before_the_end(self._role):
            self._settings = from_environment()
            logs.configure(self._settings.log_level, self._settings.log_format, self._role.log_fields)
            app = App(self._settings, self._connect, self._role)
        running = asyncio.create_task(_serve(app, self._role))
        await self._transport.may_listen.wait()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        running.cancel()
        await send({"type": "lifespan.shutdown.complete"})

    def _connect(
        self, rpcs: Iterable[UnaryRpc | StreamRpc], own: Reloading[Identity] | None, counts: Counts
    ) -> EnvoyTransport:
        folder = Path(os.environ[FOLDER])
        if own:
            secrets = Secrets(folder)
            secrets.write(own.value)  # as of now, which may be later than `launch`
            own.tell(secrets.write)
        self._transport = EnvoyTransport(
            rpcs,
            socket.socket(fileno=int(os.environ[HELD_SOCKET])),
            folder,
            limits=limits(self._settings),
            counts=counts,
            shed=self._settings.shed_connections,
        )
        return self._transport


async def _serve(app: App, role: Role) -> None:
    """Serves until SIGTERM or SIGINT, then has Envoy end."""
    with _said_before_the_end(role):
        await app.run(blocked_stop_signal())
    unblock_and_raise(signal.SIGTERM)


def _unless_late(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Envoy's module answers every read and send in the end, also those cancelled meanwhile: that is nobody's error."""
    handle = repr(context.get("handle"))
    late = isinstance(context.get("exception"), asyncio.InvalidStateError) and ("_pyvoy" in handle or ".set_" in handle)
    if not late:
        loop.default_exception_handler(context)


@contextmanager
def _said_before_the_end(role: Role) -> Iterator[None]:
    """Whatever goes wrong ends the process with exit code 1, the reason in one line if it is an operator's."""
    try:
        yield
    except OperatorError as error:
        role.failed(error.message)
        _end_of_a_failure()
    except Exception:
        log.exception("the server failed")
        _end_of_a_failure()


def _end_of_a_failure() -> NoReturn:
    """Ends the process with exit code 1, and what `launch` left for it in the file system."""
    shutil.rmtree(os.environ[FOLDER], ignore_errors=True)
    os._exit(1)


application = Application()
