"""Counters and histograms that are cheap to count with.

They are plain numbers and lists, and become samples when the page is scraped: the server counts thousands of times for
each scrape. No lock protects them, so each `Count` and each `Buckets` belongs to one thread. `labels` returns those of
the event loop; `part` makes one for another thread, and the page shows the sum. Any thread may read the page.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from time import time

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

LabelValues = tuple[str, ...]


class Count:
    """One number that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self) -> None:
        self.value += 1


class Buckets:
    """Observations sorted into buckets: the last bucket has those above every bound."""

    __slots__ = ("_bounds", "_bounds_array", "_many", "_one_by_one", "exemplars", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._bounds_array = np.array(bounds)
        self._one_by_one = [0] * (len(bounds) + 1)  # a list is faster for single values, an array for many at once
        self._many = np.zeros(len(bounds) + 1, np.int64)
        self.sum = 0.0
        self.exemplars: dict[int, Exemplar] = {}

    @property
    def counts(self) -> list[int]:
        """Observations of each bucket."""
        return [one + many for one, many in zip(self._one_by_one, self._many.tolist(), strict=True)]

    def observe(self, value: float) -> None:
        self._one_by_one[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def observe_times(self, value: float, times: int) -> None:
        """Observes the same value several times."""
        self._one_by_one[bisect_left(self._bounds, value)] += times
        self.sum += value * times

    def observe_all(self, values: NDArray[np.floating]) -> None:
        """Observes each of `values`."""
        self._many += np.bincount(self._bounds_array.searchsorted(values), minlength=len(self._many))
        self.sum += float(values.sum(dtype=np.float64))

    def add(self, other: "Buckets") -> None:
        """Adds the observations and examples of `other`, which has the same bounds."""
        self._many += np.array(other.counts)
        self.sum += other.sum
        self.exemplars.update(other.exemplars)

    def exemplify(self, value: float, labels: dict[str, str]) -> None:
        """Keeps `labels` as the latest example of the bucket of `value`, which was observed already."""
        self.exemplars[bisect_left(self._bounds, value)] = Exemplar(labels, value, time())

    def samples(self) -> Iterator[tuple[str, float] | tuple[str, float, Exemplar]]:
        """For each bucket: its bound as text, the observations up to it, and its example if it has one."""
        bounds = [*map(str, self._bounds), "+Inf"]
        for place, (bound, count) in enumerate(zip(bounds, accumulate(self.counts), strict=True)):
            exemplar = self.exemplars.get(place)
            yield (bound, count, exemplar) if exemplar else (bound, count)


class Counter(Collector):
    """Counts by label values; the sample is called `name` and `_total`."""

    def __init__(self, registry: CollectorRegistry, name: str, text: str, labels: LabelValues = ()) -> None:
        self._name, self._text, self._label_names = name, text, labels
        self._counts: dict[LabelValues, list[Count]] = {}
        registry.register(self)

    def labels(self, *values: str) -> Count:
        """The count for these label values, which is on the page from now on.

        Keep the result: the look-up is expensive.
        """
        return self._counts.setdefault(values, [Count()])[0]

    def part(self, *values: str) -> Count:
        """A further count for these label values, for one other thread."""
        self.labels(*values)
        count = Count()
        self._counts[values].append(count)
        return count

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(self._name, self._text, labels=self._label_names)
        for values, counts in list(self._counts.items()):
            family.add_metric(values, sum(count.value for count in counts))
        yield family


class Histogram(Collector):
    """Buckets by label values. `bounds` ascend; each bound belongs to the bucket below it."""

    def __init__(
        self, registry: CollectorRegistry, name: str, text: str, bounds: Sequence[float], labels: LabelValues = ()
    ) -> None:
        self._name, self._text, self._label_names = name, text, labels
        self._bounds = [float(bound) for bound in bounds]
        self._buckets: dict[LabelValues, list[Buckets]] = {}
        registry.register(self)

    def labels(self, *values: str) -> Buckets:
        """The buckets for these label values, which are on the page from now on."""
        return self._buckets.setdefault(values, [Buckets(self._bounds)])[0]

    def part(self, *values: str) -> Buckets:
        """Further buckets for these label values, for one other thread."""
        self.labels(*values)
        buckets = Buckets(self._bounds)
        self._buckets[values].append(buckets)
        return buckets

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(self._name, self._text, labels=self._label_names)
        for values, parts in list(self._buckets.items()):
            total = Buckets(self._bounds)
            for part in parts:
                total.add(part)
            family.add_metric(values, list(total.samples()), total.sum)
        yield family
