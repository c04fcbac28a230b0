"""The results of predictions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """The answer for one image.

    digit          the predicted label, 0 to 9
    confidence     its probability, 0 to 1
    model_version  the version that answered
    probabilities  float32[10], summing to 1; None unless asked for
    label          the model's own name of the digit; None unless asked for, or if the server does not name it
    unlike         from 0 on, higher the less the image is like the training images; above 1 it does not look like a
                   digit; None unless asked for
    """

    digit: int
    confidence: float
    model_version: int
    probabilities: NDArray[np.float32] | None = None
    label: str | None = None
    unlike: float | None = None

    def __eq__(self, other: object) -> bool:
        """Whether all fields are equal, the probabilities bit by bit."""
        if not isinstance(other, Prediction):
            return NotImplemented
        mine, theirs = self.probabilities, other.probabilities
        same = mine is theirs or (mine is not None and theirs is not None and np.array_equal(mine, theirs))
        return same and self._plain() == other._plain()

    def __hash__(self) -> int:
        return hash(self._plain())

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, as json.dumps takes them; the probabilities are a list of ten, or None."""
        rows = None if self.probabilities is None else self.probabilities.tolist()
        return {
            "digit": self.digit,
            "confidence": self.confidence,
            "model_version": self.model_version,
            "probabilities": rows,
            "label": self.label,
            "unlike": self.unlike,
        }

    def _plain(self) -> tuple[int, float, int, str | None, float | None]:
        return self.digit, self.confidence, self.model_version, self.label, self.unlike

    def __str__(self) -> str:
        return f"{self.digit} ({self.confidence:.1%}, model version {self.model_version})"


@dataclass(frozen=True, slots=True, eq=False)
class Predictions(Sequence[Prediction]):
    """The answers for N images, in their order, as columns; an index gives one Prediction.

    digits          uint8[N], the predicted labels
    confidences     float32[N], their probabilities
    model_versions  int64[N], the versions that answered: one version for all, unless it changed in between
    probabilities   float32[N, 10]; None unless asked for
    labels          N names of the digits, or None where the server does not name one; None unless asked for
    unlike          float32[N], how unlike the training images they are; None unless asked for
    """

    digits: NDArray[np.uint8]
    confidences: NDArray[np.float32]
    model_versions: NDArray[np.int64]
    probabilities: NDArray[np.float32] | None = None
    labels: tuple[str | None, ...] | None = None
    unlike: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.digits)

    @overload
    def __getitem__(self, index: int) -> Prediction: ...
    @overload
    def __getitem__(self, index: slice) -> "Predictions": ...
    def __getitem__(self, index: int | slice) -> "Prediction | Predictions":
        rows = None if self.probabilities is None else self.probabilities[index]
        if isinstance(index, slice):
            labels = None if self.labels is None else self.labels[index]
            scores = None if self.unlike is None else self.unlike[index]
            columns = self.digits[index], self.confidences[index], self.model_versions[index]
            return Predictions(*columns, rows, labels, scores)
        return Prediction(
            int(self.digits[index]),
            float(self.confidences[index]),
            int(self.model_versions[index]),
            rows,
            None if self.labels is None else self.labels[index],
            None if self.unlike is None else float(self.unlike[index]),
        )

    def __iter__(self) -> Iterator[Prediction]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        return f"<Predictions of {len(self)} images: {np.array2string(self.digits, threshold=20)}>"


def concatenated(
    parts: Sequence[Predictions], *, probabilities: bool, unlike: bool = False, labels: bool = False
) -> Predictions:
    """One result of many, in their order."""
    none = Predictions(
        np.empty(0, np.uint8),
        np.empty(0, np.float32),
        np.empty(0, np.int64),
        np.empty((0, 10), np.float32),
        unlike=np.empty(0, np.float32),
    )
    parts = parts or [none]
    rows = [part.probabilities for part in parts if part.probabilities is not None]
    scores = [part.unlike for part in parts if part.unlike is not None]
    return Predictions(
        np.concatenate([part.digits for part in parts]),
        np.concatenate([part.confidences for part in parts]),
        np.concatenate([part.model_versions for part in parts]),
        np.concatenate(rows) if probabilities else None,
        tuple(name for part in parts for name in part.labels or ()) if labels else None,
        np.concatenate(scores) if unlike else None,
    )
