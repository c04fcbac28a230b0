"""SIGTERM and SIGINT: the first asks the server to drain, a second one ends it at once."""

import asyncio
import os
import signal

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def block_stop_signals() -> None:
    """Blocks both signals from now on, in this thread, in threads that it starts and in programs that it executes."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


def stop_signal() -> "asyncio.Future[None]":
    """A future that is done at the first signal; a second one ends the process. For the main thread."""
    loop = asyncio.get_running_loop()
    stopping: asyncio.Future[None] = loop.create_future()

    def stop() -> None:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
            if os.getpid() == 1:  # the first process of a container has no default actions
                signal.signal(number, lambda number, _: os._exit(128 + number))
        stopping.set_result(None)

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop)
    return stopping
