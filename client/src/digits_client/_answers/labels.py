"""The names that models give to the digits, by version, as far as the server has told them."""

from dataclasses import replace

from digits.v1.prediction_pb2 import GetModelResponse
from digits_client import _limits
from digits_client._answers.results import Prediction, Predictions


class Labels:
    """The known labels.

    A server describes only its current version: other versions have no labels, and are requested seldom.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[str, ...]] = {}
        self._missed: dict[int, float] = {}

    def unknown(self, version: int, now: float) -> bool:
        """Whether the server should be asked."""
        return version not in self._known and now - self._missed.get(version, -_limits.LABELS_SECONDS) >= (
            _limits.LABELS_SECONDS
        )

    def learn(self, model: GetModelResponse, version: int, now: float) -> None:
        """Stores the answer to a request for the labels of `version`."""
        for table in (self._known, self._missed):
            if len(table) >= _limits.LABELLED_VERSIONS:
                table.clear()
        self._missed[version] = now
        if model.manifest.model_version:
            self._known[model.manifest.model_version] = tuple(model.manifest.labels)

    def named(self, prediction: Prediction) -> Prediction:
        """The same with its label; None if the label is not known."""
        return replace(prediction, label=self._name(prediction.model_version, prediction.digit))

    def all_named(self, part: Predictions) -> Predictions:
        """The same for the answers of one RPC."""
        versions, digits = part.model_versions.tolist(), part.digits.tolist()
        return replace(part, labels=tuple(map(self._name, versions, digits)))

    def _name(self, version: int, digit: int) -> str | None:
        names = self._known.get(version, ())
        return names[digit] if digit < len(names) else None
