"""From a Keras model to a published version: converted, evaluated, reported, checked by the gate."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from digits.v1.manifest_pb2 import Training
from digits_training import data
from digits_training.conversion import keras_files, litert, unlike
from digits_training.data import DataSet
from digits_training.errors import RefusedError
from digits_training.evaluation import model_card, plots
from digits_training.evaluation.figures import Evaluation, evaluate
from digits_training.fitting.weights import published_epoch
from digits_training.jobs import gate
from digits_training.networks import backend
from digits_training.networks.built_in import trained_parameters
from digits_training.networks.predictions import probabilities_of
from digits_training.repository import manifest, publish, signing
from digits_training.runs.record import Run
from digits_training.settings import STEP, Settings

Say = Callable[[str], None]
History = list[dict[str, float]]


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
    """Converts a Keras model, proves parity, evaluates, writes the report, asks the gate, and publishes the version.

    Returns the version, or None with --no-publish.

    `history` is empty for a model that was not trained here. `warnings` about the data go on the model card.
    Raises TrainingError.
    """
    with publish.staging(settings.model_folder) as folder:
        with backend.quiet():
            network.save(folder / "model.keras")
        litert.convert(network, folder / "model.tflite")
        if settings.save:
            keras_files.save(network, settings.save)
            say(f"saved {settings.save}: takes {keras_files.TAKES}")
        probabilities = litert.litert_probabilities(folder / "model.tflite", dataset.test.images)
        difference = litert.prove_parity(probabilities_of(network, dataset.test.images), probabilities)
        figures = evaluate(probabilities, dataset.test.labels)  # of the model that will serve
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
        say(f"published by force, although {objection}")
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
        say("not published: to publish, run the same command without --no-publish; it continues from here")
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
    """Writes the pictures of the report into a subfolder of the version's folder, and returns the subfolder."""
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
