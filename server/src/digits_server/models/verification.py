"""What a loaded model must show before it answers anyone: the published scores, at every batch size."""

from dataclasses import dataclass
from time import perf_counter, sleep

import numpy as np

from digits.v1.manifest_pb2 import Manifest
from digits_server.batching.batch_costs import BatchCosts
from digits_server.errors import ModelRejected
from digits_server.models.source import LoadedModel, ModelSource
from digits_server.runtimes import Images, Runtime

WARM_UP_RUNS = 3
"""Timed runs of each batch size after the first one, which allocates. The shortest counts: calls answered meanwhile
by another version can only make a run longer."""

REST_SECONDS = 0.01
"""Between two steps, each of a few milliseconds, while another version answers calls: what they delayed is caught up
with before the next."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProvenModel:
    """A model that may answer."""

    loaded: LoadedModel
    costs: BatchCosts
    seconds: float
    """To verify, load, warm up and prove it."""


def prove(source: ModelSource, version: int, largest: int, *, rest: float = 0.0) -> ProvenModel:
    """Verifies, loads and proves `version` for batches of up to `largest` images. Raises ModelRejected.

    rest  seconds to pause between the steps
    """
    begin = perf_counter()
    loaded = source.load(version)
    sleep(rest)
    try:
        check_golden_images(loaded.runtime, loaded.manifest)
        costs = warm_up(loaded.runtime, largest, rest)
    except RuntimeError as error:  # what LiteRT raises when an operator cannot run after all
        raise ModelRejected("load", "the model loads but cannot run") from error
    return ProvenModel(loaded=loaded, costs=costs, seconds=perf_counter() - begin)


def check_golden_images(runtime: Runtime, manifest: Manifest) -> None:
    """Replays the manifest's golden images; ModelRejected when a score is off by more than its tolerance."""
    if not manifest.golden_images:
        return
    images = np.frombuffer(b"".join(item.image for item in manifest.golden_images), np.uint8).reshape(-1, 28, 28)
    expected = np.array([item.probabilities for item in manifest.golden_images], np.float32)
    difference = np.abs(runtime.predict(images) - expected)
    failed = ~(difference <= manifest.golden_tolerance)  # asked this way round, scores that are no numbers fail too
    if failed.any():
        raise ModelRejected(
            "golden",
            f"{int(failed.any(axis=1).sum())} of {len(images)} golden images score otherwise than published, "
            f"by up to {difference.max():.3g}; allowed {manifest.golden_tolerance:.3g}",
        )


def warm_up(runtime: Runtime, largest: int, rest: float = 0.0) -> BatchCosts:
    """Runs every batch size up to `largest`, in powers of two, once cold, then a few times to see what it costs.

    What the runtime computes in pieces costs as much as they do.
    """
    costs: dict[int, float] = {}
    size = 1
    while size <= largest:
        if size > runtime.largest_shape:
            costs[size] = 2 * costs[size // 2]
        else:
            sleep(rest)
            images = np.zeros((size, 28, 28), np.uint8)
            runtime.predict(images)
            costs[size] = min(_seconds(runtime, images) for _ in range(WARM_UP_RUNS))
        size *= 2
    return BatchCosts(costs)


def _seconds(runtime: Runtime, images: Images) -> float:
    begin = perf_counter()
    runtime.predict(images)
    return perf_counter() - begin
