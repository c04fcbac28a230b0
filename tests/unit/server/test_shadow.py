"""A shadow has one thread, however often it is pinned and unpinned, and counts exactly while others count too."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from support.waiting import until

from digits_server.observability.metrics import ShadowCounts
from digits_server.runtimes import Images, Probabilities
from digits_server.serving.shadow import MAX_WAITING, Shadow

ADDERS, BATCHES, IMAGES = 4, 300, 7
SEVENS = np.eye(10, dtype=np.float32)[[7]]


class Runtime:
    """A runtime that answers 7 for every image, and fails a given number of times."""

    name = "test"
    largest_shape = MAX_WAITING

    def __init__(self, failures: int = 0) -> None:
        self._failures = failures

    def predict(self, images: Images) -> Probabilities:
        if self._failures:
            self._failures -= 1
            raise ZeroDivisionError
        return np.repeat(SEVENS, len(images), axis=0)


class Watched:
    """A shadow and its counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.shadow = Shadow(lambda: ShadowCounts(self.registry))
        self.predict = self.shadow.watch(Runtime().predict, lambda: True)

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"digits_shadow_{name}_total", labels) or 0.0

    def accounted(self) -> float:
        """Images that were scored, dropped or failed."""
        return self.count("agreement", agrees="true") + self.count("shed") + self.count("failures")


@pytest.fixture
def watched() -> Iterator[Watched]:
    made = Watched()
    yield made
    made.shadow.close()


def shadow_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "shadow"}


def test_a_hundred_quick_pins_and_unpins_leave_no_further_thread(watched: Watched) -> None:
    others = shadow_threads()
    for _ in range(100):
        watched.shadow.follow(Runtime())
        watched.predict(np.zeros((IMAGES, 28, 28), np.uint8))
        watched.shadow.follow(None)
    assert len(shadow_threads() - others) == 1
    watched.shadow.close()
    until(lambda: not shadow_threads() - others, "the thread ends with the server")


def test_no_image_is_lost_from_the_counts_while_several_threads_add(watched: Watched) -> None:
    watched.shadow.follow(Runtime(failures=1))

    def add() -> None:
        for _ in range(BATCHES):
            watched.predict(np.zeros((IMAGES, 28, 28), np.uint8))

    adders = [threading.Thread(target=add) for _ in range(ADDERS)]
    for adder in adders:
        adder.start()
    for adder in adders:
        adder.join()
    added = ADDERS * BATCHES * IMAGES
    until(lambda: watched.accounted() >= added, "every image is accounted for")
    assert watched.accounted() == added
    assert watched.count("failures") > 0
    assert watched.count("agreement", agrees="false") == 0
    assert watched.registry.get_sample_value("digits_shadow_confidence_difference_count") == watched.count(
        "agreement", agrees="true"
    )


def test_a_batch_larger_than_the_queue_is_dropped_and_counted_and_still_answered(watched: Watched) -> None:
    watched.shadow.follow(Runtime())
    images = np.zeros((MAX_WAITING + 1, 28, 28), np.uint8)
    assert len(watched.predict(images)) == len(images)
    assert watched.count("shed") == len(images)


def test_the_counters_are_there_before_the_first_batch_can_be_copied() -> None:
    def counts() -> ShadowCounts:
        copied.append(len(predict(np.zeros((MAX_WAITING + 1, 28, 28), np.uint8))))
        return ShadowCounts(CollectorRegistry())

    copied: list[int] = []
    shadow = Shadow(counts)
    predict = shadow.watch(Runtime().predict, lambda: True)
    shadow.follow(Runtime())
    shadow.close()
    assert copied == [MAX_WAITING + 1]
