"""The gate: decides whether a model is good enough to be published."""

from pathlib import Path

from digits_training.conversion.litert import litert_probabilities
from digits_training.data import LabelledImages
from digits_training.evaluation.figures import Evaluation, evaluate
from digits_training.repository.served import PinError, served_version
from digits_training.settings import Settings


def objections(candidate: Evaluation, model_folder: Path, test: LabelledImages, settings: Settings) -> list[str]:
    """The reasons not to publish, one sentence with the numbers for each; empty if there are none.

    The candidate is compared with `--min-accuracy`, and with the served model by `--max-regression`, overall and for
    each label. The figures of the served model are computed again, on the same test set.
    """
    found = []
    if candidate.accuracy < settings.min_accuracy:
        found.append(f"test accuracy {candidate.accuracy:.4f} is below --min-accuracy {settings.min_accuracy:g}")

    try:
        version = served_version(model_folder)
    except PinError as error:
        return [*found, f"{error}, so the served version is unknown"]
    if version is None:
        return found
    served_model = model_folder / str(version) / "model.tflite"
    served = evaluate(litert_probabilities(served_model, test.images), test.labels)
    falls = [("test accuracy", served.accuracy, candidate.accuracy)]
    falls += [
        (f"recall of {name}", float(before), float(after))
        for name, before, after in zip(settings.labels, served.recall, candidate.recall, strict=True)
    ]
    found += [
        f"{what} fell from {before:.4f} (version {version}) to {after:.4f}, more than --max-regression "
        f"{settings.max_regression:g}"
        for what, before, after in falls
        if before - after > settings.max_regression
    ]
    return found
