"""Threads that share a `Client`, each calling again once answered: `NAME TARGET WORK.npz THREADS SECONDS`."""

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count

from benchmarks.client.loop import WARM_UP_SHARE, Work, check, report, work
from digits_client import Client, Coalescing


def calls(client: Client, todo: Work, seconds: float) -> list[float]:
    """Their latencies."""
    following = count()
    ready = threading.Barrier(todo.in_flight)

    def caller(_: int) -> list[float]:
        latencies = []
        ready.wait(30)
        end = time.perf_counter() + seconds
        while (begin := time.perf_counter()) < end:
            place = next(following) % len(todo.images)
            digit = client.predict(todo.images[place]).digit
            latencies.append(time.perf_counter() - begin)
            check(todo, place, digit)
        return latencies

    with ThreadPoolExecutor(todo.in_flight) as threads:
        return [latency for mine in threads.map(caller, range(todo.in_flight)) for latency in mine]


def main(name: str, target: str, *asked: str) -> None:
    todo = work(*asked)
    with Client(target, coalescing=Coalescing() if name == "threads" else None) as client:
        calls(client, todo, todo.seconds * WARM_UP_SHARE)
        cpu, begin = time.process_time(), time.perf_counter()
        latencies = calls(client, todo, todo.seconds)
        report(latencies, time.perf_counter() - begin, time.process_time() - cpu)


if __name__ == "__main__":
    main(*sys.argv[1:])
