"""`digits-train import`: from a model file made elsewhere to a published version."""

from pathlib import Path

import numpy as np

from digits.v1.manifest_pb2 import Training
from digits_training import data
from digits_training.data import checks
from digits_training.importing import adapting, loading
from digits_training.jobs.release import release
from digits_training.networks import backend
from digits_training.networks.built_in import trained_parameters
from digits_training.runs.record import Run, Say, recorded
from digits_training.settings import Settings


def import_model(path: Path, settings: Settings, say: Say) -> int | None:
    """Checks, loads, adapts, evaluates, converts and publishes a model made elsewhere; returns the version.

    None with --no-publish. Raises TrainingError.
    """
    with recorded("import", settings, say) as run:
        return _import_model(path, settings, say, run)


def _import_model(path: Path, settings: Settings, say: Say, run: Run) -> int | None:
    dataset = data.read(settings.data, data.reading_of(settings))
    for sentence in (*dataset.notes, *checks.paper(dataset.test, inverted=settings.invert)):
        say(f"warning: {sentence}")
    backend.start(seed=0)
    imported = loading.load(path)
    sample = dataset.train.take(np.arange(min(adapting.SAMPLE, len(dataset.train))))
    network, pixel_range = adapting.adapt(imported, sample, settings.pixel_range)
    network.summary(print_fn=say)
    say(f"{path.name}: {trained_parameters(network):,} parameters, pixels from {pixel_range.replace('-', ' to ')}")
    made = Training(network="imported", data=dataset.files, imported_file=loading.identity(path))
    read_as = {"transpose": settings.transpose, "invert": settings.invert}
    split_off = {"test_share": dataset.test_share, "seed": settings.seed} if dataset.test_share else {}
    made.hyperparameters.update({"pixel_range": pixel_range, **read_as, **split_off})
    return release(network, made, [], dataset, settings=settings, say=say, run=run)
