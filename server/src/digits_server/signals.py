"""SIGTERM and SIGINT: the first asks the server to drain, a second one ends it at once."""

import asyncio
import ctypes
import os
import signal
import threading

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def block_stop_signals() -> None:
    """From now on they wait, in this thread, in those it starts and in the program it becomes."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


def stop_signal() -> "asyncio.Future[None]":
    """Is done at the first of them; a second one ends the process as if nobody listened. For the main thread."""
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


def blocked_stop_signal() -> "asyncio.Future[None]":
    """The same where every thread has them blocked and the main thread is not Python's."""
    loop = asyncio.get_running_loop()
    stopping: asyncio.Future[None] = loop.create_future()

    def wait() -> None:
        signal.sigwait(STOP_SIGNALS)
        loop.call_soon_threadsafe(stopping.set_result, None)
        number = signal.Signals(signal.sigwait(STOP_SIGNALS))
        ctypes.CDLL(None).signal(int(number), 0)  # the default action; Python's own function insists on the main thread
        unblock_and_raise(number)
        os._exit(128 + number)  # not reached but by the first process of a container, which has no default actions

    threading.Thread(target=wait, name="signals", daemon=True).start()
    return stopping


def unblock_and_raise(number: signal.Signals) -> None:
    """Sends `number`, which is blocked, to this thread, so that the process does what it does on it."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    signal.pthread_kill(threading.get_ident(), number)
