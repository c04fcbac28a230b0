"""One run, from the data to a published version."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp

from digits.v1.manifest_pb2 import Training
from digits_training import data, export, gate, importing, manifest, publish, save, signing
from digits_training.conversion import unlike
from digits_training.data import DataSet, checks, samples
from digits_training.errors import Interrupted, RefusedError
from digits_training.evaluation import model_card, plots
from digits_training.evaluation.figures import Evaluation, evaluate
from digits_training.fitting.checkpoint import Checkpoint, fingerprint, source_checksum
from digits_training.fitting.fit import fit
from digits_training.fitting.weights import published_epoch
from digits_training.networks import backend
from digits_training.networks.built_in import build_network, trained_parameters
from digits_training.networks.predictions import probabilities_of
from digits_training.own_network import adapted, source
from digits_training.runs.record import SAMPLES, Run, recorded
from digits_training.runs.tensorboard import epoch_writer
from digits_training.settings import STEP, Kind, Settings
from digits_training.settings.networks import name_of

Say = Callable[[str], None]
History = list[dict[str, float]]


def train(settings: Settings, say: Say) -> int | None:
    """Trains, evaluates, converts, proves parity, and publishes; returns the version, None with --no-publish.

    Raises TrainingError. Whatever happens, the run leaves its record in --runs.
    """
    with recorded("train", settings, say) as run:
        return _train(settings, say, run)


def _train(settings: Settings, say: Say, run: Run) -> int | None:
    own = source.read(settings.network)
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
    with run.writing() as kept:
        if kept:
            samples.write(kept / SAMPLES, training, settings.labels)
            say(f"samples of the training images with their labels: {kept / SAMPLES}")
    backend.start(settings.seed, settings.network)
    network = adapted.network_of(own, training, say) if own else build_network(settings)
    network.summary(print_fn=say, expand_nested=True)
    say(f"{name_of(settings.network)}: {trained_parameters(network):,} parameters to train")

    hyperparameters = settings.of_kind(Kind.HYPERPARAMETER) | {"test_share": dataset.test_share}
    if own:
        hyperparameters["network_sha256"] = own.sha256
    run.tell(settings=hyperparameters, images=len(training), parameters=trained_parameters(network), warnings=warnings)
    data_files = [file.sha256 for file in dataset.files]
    identity = fingerprint(hyperparameters, data_files, manifest.framework_versions(), source_checksum())
    checkpoint = Checkpoint(settings.checkpoint_dir or settings.model_folder / ".checkpoints", identity)
    epochs = epoch_writer(settings, run, say)
    try:
        history = fit(
            network, training, validation, settings=settings, checkpoint=checkpoint, say=say, after_epoch=epochs
        )
    except Interrupted as interruption:
        interruption.add_note("the same command goes on from the last checkpoint")
        raise
    epochs(history)  # once more: all epochs may have come from the checkpoint

    if own:
        network = adapted.served(network)
    made = Training(
        network=name_of(settings.network),
        data=dataset.files,
        training_images=len(training),
        validation_images=len(validation),
        label_counts=training.label_counts(),
    )
    made.hyperparameters.update(hyperparameters)
    version = release(network, made, history, dataset, settings=settings, say=say, run=run, warnings=warnings)
    if version is not None:
        checkpoint.remove()
    return version


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
    imported = importing.load(path)
    sample = dataset.train.take(np.arange(min(importing.SAMPLE, len(dataset.train))))
    network, pixel_range = importing.adapt(imported, sample, settings.pixel_range)
    network.summary(print_fn=say)
    say(f"{path.name}: {trained_parameters(network):,} parameters, pixels from {pixel_range.replace('-', ' to ')}")
    made = Training(network="imported", data=dataset.files, imported_file=importing.identity(path))
    read_as = {"transpose": settings.transpose, "invert": settings.invert}
    split_off = {"test_share": dataset.test_share, "seed": settings.seed} if dataset.test_share else {}
    made.hyperparameters.update({"pixel_range": pixel_range, **read_as, **split_off})
    return release(network, made, [], dataset, settings=settings, say=say, run=run)


def release(
    network: Any,
    made: Training,
    history: History,
    dataset: DataSet,
    *,
    settings: Settings,
    say: Say,
    run: Run,
    warnings: Sequence[str] = (),
) -> int | None:
    """Converts a Keras model, proves parity, evaluates, reports, gates, and publishes; returns the version.

    With --no-publish it ends before the gate would, and returns None.

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
        described = manifest.describe(
            settings.labels, made, figures, difference, manifest.golden_images(dataset.test, probabilities)
        )
        if made.network == unlike.NETWORK and settings.activation != STEP:
            described.unlike.CopyFrom(unlike.write(network, dataset, described.golden_images, folder))
            say(f"{unlike.FILE_NAME}: {described.unlike.refused_share:.1%} of the test images do not look like digits")
        run.tell(test_accuracy=figures.accuracy, test_loss=figures.loss)
        described.training.parameters = trained_parameters(network)
        described.overruled_objections.extend(objections if settings.force else [])
        if made.validation_images:
            published = published_epoch(history, keep_best=settings.best_epoch)
            described.metrics.validation_accuracy = published["val_accuracy"]
            described.metrics.validation_loss = published["val_loss"]

        pictures = _write_pictures(
            folder,
            history=history,
            figures=figures,
            test=dataset.test,
            probabilities=probabilities,
            labels=settings.labels,
        )
        model_card.write(pictures, described, warnings)
        run.keep_report(pictures)
        if not _is_to_be_published(objections, settings, run, say):
            return None

        def write_manifest(folder: Path, version: int) -> None:
            described.model_version = version
            described.created_at.CopyFrom(_now())
            manifest.write(described, folder)
            if settings.sign_key:
                signing.sign(folder, settings.sign_key, settings.public_key)

        version = publish.publish(folder, write_manifest)
    run.tell(outcome="published", version=version)
    for objection in objections:
        say(f"published by force although {objection}")
    say(f"published version {version}: {settings.model_folder / str(version)}")
    if history:
        say(f"plot of loss and accuracy: {settings.model_folder / str(version) / 'report' / plots.HISTORY_PLOT}")
    return version


def _is_to_be_published(objections: list[str], settings: Settings, run: Run, say: Say) -> bool:
    """False with --no-publish. Raises RefusedError."""
    if settings.no_publish:
        run.tell(outcome="not published", reason="; ".join(objections))
        if objections:
            say(f"the gate would refuse: {'; '.join(objections)}")
        say("not published: the same command without --no-publish goes on from here and publishes")
        return False
    if objections and not settings.force:
        raise RefusedError("not published: " + "; ".join(objections))
    return True


def _write_pictures(
    folder: Path,
    *,
    history: History,
    figures: Evaluation,
    test: data.LabelledImages,
    probabilities: plots.Probabilities,
    labels: tuple[str, ...],
) -> Path:
    """The pictures of the report, in a folder of the version's folder, which is returned."""
    pictures = folder / "report"
    pictures.mkdir()
    if history:
        plots.write_history(pictures, history)
    plots.write_confusion_matrix(pictures, figures, labels)
    plots.write_per_label(pictures, figures, labels)
    plots.write_calibration(pictures, figures)
    plots.write_mistakes(pictures, test, probabilities, labels)
    return pictures


def _now() -> Timestamp:
    timestamp = Timestamp()
    timestamp.GetCurrentTime()
    return timestamp
