"""The counts by version: several threads count them, and all series of a version leave the page together."""

import numpy as np
import pytest

from digits_server.observability.metrics import Metrics
from digits_server.observability.prediction_counts import DEPARTED_VERSIONS
from digits_server.workers.merging import VERSION, VERSIONED, Family, lasting
from digits_server.workers.metric_families import to_families


def versions(families: list[Family]) -> dict[str, set[str]]:
    """The versions that each counting family has series of, without the families that have none."""
    found = {
        family["name"]: {labels[VERSION] for _, labels, _ in family["samples"] if VERSION in labels}
        for family in lasting(families)
    }
    return {name: versions for name, versions in found.items() if versions}


def test_workers_forget_every_family_that_counts_by_version() -> None:
    metrics = Metrics()
    metrics.predictions.of(7)
    assert versions(to_families(metrics.registry.collect())) == {name: {"7"} for name in VERSIONED}


def test_a_version_that_left_long_ago_leaves_the_page_with_all_its_series() -> None:
    metrics = Metrics()
    threads = metrics.predictions, metrics.predictions.part()
    for version in range(1, 41):
        for thread in threads:
            thread.of(version).failed("deadline")
        metrics.predictions.keep({version})
    left = {str(version) for version in range(40 - DEPARTED_VERSIONS, 41)}
    assert versions(to_families(metrics.registry.collect())) == dict.fromkeys(VERSIONED, left)


@pytest.mark.parametrize("images", [1, 40, 2000])
def test_the_page_has_the_sum_of_all_threads(images: int) -> None:
    metrics = Metrics()
    for thread in (metrics.predictions, metrics.predictions.part()):
        thread.add(3, np.full(images, 4, np.uint8), np.full(images, 0.5, np.float32))
        thread.add_one(3, 5, 0.25)
        thread.of(3).answered(2, 0.125)
        thread.of(3).failed("deadline", 3)

    def count(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"digits_{name}", {"model_version": "3", **labels})

    assert count("predictions_total", digit="4") == 2 * images
    assert count("version_confidence_count") == 2 * (images + 1)
    assert count("version_confidence_sum") == images + 0.5
    assert metrics.registry.get_sample_value("digits_prediction_confidence_sum") == images + 0.5
    assert count("version_request_seconds_count") == 4
    assert count("version_request_seconds_sum") == 0.25
    assert count("version_failures_total", reason="deadline") == 6
    assert count("version_failures_total", reason="inference_failed") == 0
