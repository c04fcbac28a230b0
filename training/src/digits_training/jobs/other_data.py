"""Evaluates a published version on data it was not made with."""

from pathlib import Path

from digits_training import data
from digits_training.conversion.litert import litert_probabilities
from digits_training.data import checks, samples
from digits_training.evaluation import plots
from digits_training.evaluation.figures import Evaluation, evaluate
from digits_training.repository.recorded import recorded_reading, verified_manifest
from digits_training.runs.record import REPORT, SAMPLES, Say, recorded
from digits_training.settings import Settings


def is_given(version: int, settings: Settings) -> bool:
    """Whether --data names files that `version` was not made with, or the settings read the same files differently.

    Raises TrainingError.
    """
    if settings.data is None and not settings.transpose and not settings.invert:
        return False
    made_with = verified_manifest(version, settings)
    reading = recorded_reading(made_with)
    turned = (settings.transpose, settings.invert)
    if any(turned) and turned != (reading.transpose, reading.invert):
        return True
    return list(data.files_at(settings.data, tuple(made_with.labels))) != list(made_with.training.data)


def evaluate_on(version: int, settings: Settings, say: Say) -> Evaluation:
    """Evaluates model.tflite of `version` on the test images of --data, or on all images if there are no test images.

    Prints the figures, and writes the report to a folder of --runs. Raises TrainingError.
    """
    made_with = verified_manifest(version, settings)
    labels = tuple(made_with.labels)
    with recorded("evaluate", settings, say) as run:
        reading = data.Reading(transpose=settings.transpose, invert=settings.invert, labels=labels)
        images, _ = data.read_unseen(settings.data, reading)
        say(
            f"evaluating version {version} on {len(images):,} images of {settings.data or 'MNIST'}, which are not "
            "the data in its manifest"
        )
        for warning in checks.paper(images, inverted=settings.invert):
            say(f"warning: {warning}")
        model = settings.model_folder / str(version) / "model.tflite"
        probabilities = litert_probabilities(model, images.images)
        figures = evaluate(probabilities, images.labels)
        counts = images.label_counts()
        for name, count, precision, recall in zip(labels, counts, figures.precision, figures.recall, strict=True):
            share = f"recall {recall:.4f}  precision {precision:.4f}" if count else "no images"
            say(f"label {name:12} {count:7,} images  {share}")
        own = made_with.metrics
        say(
            f"version {version} on these images: accuracy {figures.accuracy:.4f}, loss {figures.loss:.4f}; "
            f"on its own test set: accuracy {own.test_accuracy:.4f}, loss {own.test_loss:.4f}"
        )
        with run.writing() as kept:
            if kept:
                samples.write(kept / SAMPLES, images, labels)
                _write_report(kept / REPORT, figures, images, probabilities, labels)
        run.tell(
            outcome="evaluated",
            version=version,
            images=len(images),
            test_accuracy=figures.accuracy,
            test_loss=figures.loss,
            recall=dict(zip(labels, figures.recall.tolist(), strict=True)),
        )
    return figures


def _write_report(
    folder: Path,
    figures: Evaluation,
    images: data.LabelledImages,
    probabilities: plots.Probabilities,
    labels: tuple[str, ...],
) -> None:
    folder.mkdir()
    plots.write_confusion_matrix(folder, figures, labels)
    plots.write_per_label(folder, figures, labels)
    plots.write_calibration(folder, figures)
    plots.write_mistakes(folder, images, probabilities, labels)
