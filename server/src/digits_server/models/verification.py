"""Verifies a version and its model before it answers: golden images in the sandbox, then every batch size here."""

from dataclasses import dataclass
from time import perf_counter, sleep

import numpy as np

from digits_server.batching.batch_costs import BatchCosts
from digits_server.errors import ModelRejected
from digits_server.models.source import LoadedModel, ModelSource
from digits_server.runtimes import Images, Runtime, loading
from digits_server.sandbox.golden_images import GoldenImages
from digits_server.sandbox.parent import SANDBOX

WARM_UP_RUNS = 3
"""Timed runs of each batch size after the first one, which allocates. The shortest counts: calls answered meanwhile
by another version can only make a run longer."""

REST_SECONDS = 0.01
"""Pause between two steps of a few milliseconds each, while another version answers calls, so that delayed calls catch
up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifiedModel:
    """A verified and loaded model, which may answer."""

    loaded: LoadedModel
    costs: BatchCosts
    seconds: float
    """Time it took to verify, try, load and warm it up."""


def verify(source: ModelSource, version: int, largest: int, *, rest: float = 0.0) -> VerifiedModel:
    """Verifies `version`, tries it in the sandbox in batches of up to `largest` images, then loads it here.

    The loaded bytes are the ones that were tried. Raises ModelRejected.

    rest  seconds to pause between the steps
    """
    begin = perf_counter()
    found = source.load(version)
    golden = GoldenImages.of(found.manifest)
    loading.prepare(found.content.runtime)  # the sandbox imports the same modules meanwhile
    SANDBOX.try_model(found.content, golden, largest)
    if found.unlike:
        SANDBOX.try_model(found.unlike, GoldenImages.of_unlike(found.manifest), largest)
    sleep(rest)
    try:
        runtime = loading.load(found.content)
        golden.check(runtime, found.content.name)
        unlike = loading.load(found.unlike) if found.unlike else None
        if found.unlike and unlike:
            GoldenImages.of_unlike(found.manifest).check(unlike, found.unlike.name)
        costs = warm_up(runtime, largest, rest)
    except RuntimeError as error:  # LiteRT raises it if an operator cannot run
        raise ModelRejected("load", "the model loads but cannot run") from error
    loaded = LoadedModel(manifest=found.manifest, runtime=runtime, sha256=found.sha256, unlike=unlike)
    return VerifiedModel(loaded=loaded, costs=costs, seconds=perf_counter() - begin)


def warm_up(runtime: Runtime, largest: int, rest: float = 0.0) -> BatchCosts:
    """Runs every batch size up to `largest`, in powers of two: once cold, then a few times to measure its cost.

    A batch that the runtime computes in pieces costs as much as its pieces.
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
