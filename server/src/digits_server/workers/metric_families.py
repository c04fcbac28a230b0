"""Converts Prometheus's metrics to families in JSON, and back."""

from collections.abc import Iterable

from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from digits_server.workers.merging import Family


def to_families(metrics: Iterable[Metric]) -> list[Family]:
    return [
        {
            "name": metric.name,
            "help": metric.documentation,
            "type": metric.type,
            "samples": [(sample.name, sample.labels, sample.value) for sample in metric.samples],
            "examples": [
                (sample.name, sample.labels, example.labels, example.value, float(example.timestamp or 0))
                for sample in metric.samples
                if (example := sample.exemplar)
            ],
        }
        for metric in metrics
    ]


class Families(Collector):
    """A collector of these families, for writing a page."""

    def __init__(self, families: list[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        for family in self._families:
            metric = Metric(family["name"], family["help"], family["type"])
            examples = {
                (name, frozenset(labels.items())): Exemplar(own, value, time)
                for name, labels, own, value, time in family.get("examples", ())
            }
            for name, labels, value in family["samples"]:
                exemplar = examples.get((name, frozenset(labels.items())))
                metric.add_sample(name, labels, float(value), exemplar=exemplar)
            yield metric
