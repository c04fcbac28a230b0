"""One run, from the data to a published version."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp

from digits.v1.manifest_pb2 import Training
from digits_training import backend, data, export, gate, importing, manifest, model_card, publish, report, save, signing
from digits_training.checkpoint import Checkpoint, fingerprint, source_checksum
from digits_training.data import DataSet
from digits_training.errors import Interrupted, RefusedError
from digits_training.evaluate import evaluate
from digits_training.fit import fit, probabilities_of
from digits_training.networks import build_network, trained_parameters
from digits_training.optimisation.weights import published_epoch
from digits_training.reading import checks
from digits_training.settings import Kind, Settings

Say = Callable[[str], None]
History = list[dict[str, float]]


def train(settings: Settings, say: Say) -> int:
    """Trains, evaluates, converts, proves parity, and publishes; returns the version. Raises TrainingError."""
    dataset = data.read(settings.data, data.reading_of(settings))
    training, validation = data.split(dataset.train, settings.validation_share, settings.seed)
    for note in dataset.notes:
        say(note)
    say(
        f"{len(training):,} training, {len(validation):,} validation and {len(dataset.test):,} test images "
        f"from {settings.data or 'MNIST as shipped'}"
    )
    if dataset.test_share:
        say(f"the data have no test images: {dataset.test_share:.0%} of the images are held out as such (--test-share)")
    warnings = checks.warnings(training, dataset.test, labels=settings.labels, inverted=settings.invert)
    for warning in warnings:
        say(f"warning: {warning}")
    backend.start(settings.seed, settings.network)
    network = build_network(settings)
    network.summary(print_fn=say)
    say(f"{settings.network}: {trained_parameters(network):,} parameters to train")

    hyperparameters = settings.of_kind(Kind.HYPERPARAMETER) | {"test_share": dataset.test_share}
    data_files = [file.sha256 for file in dataset.files]
    run = fingerprint(hyperparameters, data_files, manifest.framework_versions(), source_checksum())
    checkpoint = Checkpoint(settings.checkpoint_dir or settings.model_folder / ".checkpoints", run)
    try:
        history = fit(network, training, validation, settings=settings, checkpoint=checkpoint, say=say)
    except Interrupted as interruption:
        interruption.add_note("the same command goes on from the last checkpoint")
        raise

    made = Training(
        network=settings.network,
        data=dataset.files,
        training_images=len(training),
        validation_images=len(validation),
        label_counts=training.label_counts(),
    )
    made.hyperparameters.update(hyperparameters)
    version = release(network, made, history, dataset, settings=settings, say=say, warnings=warnings)
    checkpoint.remove()
    return version


def import_model(path: Path, settings: Settings, say: Say) -> int:
    """Checks, loads, adapts, evaluates, converts and publishes a model made elsewhere; returns the version."""
    dataset = data.read(settings.data, data.reading_of(settings))
    backend.start(seed=0)
    imported = importing.load(path)
    sample = dataset.train.take(np.arange(min(importing.SAMPLE, len(dataset.train))))
    network, pixel_range = importing.adapt(imported, sample, settings.pixel_range)
    network.summary(print_fn=say)
    say(f"{path.name}: {trained_parameters(network):,} parameters, pixels from {pixel_range.replace('-', ' to ')}")
    made = Training(network="imported", data=dataset.files, imported_file=importing.identity(path))
    read_as = {"transpose": settings.transpose, "invert": settings.invert}
    split_off = {"test_share": dataset.test_share, "seed": settings.seed} if dataset.test_share else {}
    made.hyperparameters.update({"pixel_range": pixel_range, **read_as, **split_off})
    return release(network, made, [], dataset, settings=settings, say=say)


def release(
    network: Any,
    made: Training,
    history: History,
    dataset: DataSet,
    *,
    settings: Settings,
    say: Say,
    warnings: Sequence[str] = (),
) -> int:
    """Converts a Keras model, proves parity, evaluates, gates, reports, and publishes; returns the version.

    `history` is empty for a model that was not trained here. `warnings` about the data go on the model card.
    Raises TrainingError.
    """
    with publish.staging(settings.model_folder) as folder:
        with backend.quiet():
            network.save(folder / "model.keras")
        export.convert(network, folder / "model.tflite")
        if settings.save:
            save.save(network, settings.save)
            say(f"saved {settings.save}: takes {save.TAKES}")
        probabilities = export.litert_probabilities(folder / "model.tflite", dataset.test.images)
        difference = export.prove_parity(probabilities_of(network, dataset.test.images), probabilities)
        figures = evaluate(probabilities, dataset.test.labels)  # of what will serve
        say(
            f"test set: accuracy {figures.accuracy:.4f}, loss {figures.loss:.4f}; "
            f"LiteRT gives the same answers, probabilities within {difference:.1e}"
        )
        objections = gate.objections(figures, settings.model_folder, dataset.test, settings)
        if objections and not settings.force:
            raise RefusedError("not published: " + "; ".join(objections))

        described = manifest.describe(
            settings.labels, made, figures, difference, manifest.golden_images(dataset.test, probabilities)
        )
        described.training.parameters = trained_parameters(network)
        described.overruled_objections.extend(objections)
        if made.validation_images:
            published = published_epoch(history, keep_best=settings.best_epoch)
            described.metrics.validation_accuracy = published["val_accuracy"]
            described.metrics.validation_loss = published["val_loss"]

        pictures = folder / "report"
        pictures.mkdir()
        if history:
            report.write_history(pictures, history)
        report.write_confusion_matrix(pictures, figures, settings.labels)
        report.write_per_label(pictures, figures, settings.labels)
        report.write_calibration(pictures, figures)
        report.write_mistakes(pictures, dataset.test, probabilities, settings.labels)
        model_card.write(pictures, described, warnings)

        def write_manifest(folder: Path, version: int) -> None:
            described.model_version = version
            described.created_at.CopyFrom(_now())
            manifest.write(described, folder)
            if settings.sign_key:
                signing.sign(folder, settings.sign_key, settings.public_key)

        version = publish.publish(folder, write_manifest)
    for objection in objections:
        say(f"published by force although {objection}")
    say(f"published version {version}: {settings.model_folder / str(version)}")
    if history:
        say(f"plot of loss and accuracy: {settings.model_folder / str(version) / 'report' / report.HISTORY_PLOT}")
    return version


def _now() -> Timestamp:
    timestamp = Timestamp()
    timestamp.GetCurrentTime()
    return timestamp
