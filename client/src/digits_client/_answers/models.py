"""A server's description of the model it serves."""

from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import IntEnum
from typing import Any

from digits.v1.prediction_pb2 import GetModelResponse


class VersionState(IntEnum):
    """The state of a version on a server. The numbers are those of the protobuf enum."""

    STATE_UNSPECIFIED = 0
    SERVING = 1
    AVAILABLE = 2
    LOADING = 3
    REJECTED = 4


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version that the server has seen.

    version  a positive integer
    state    what the server does with it: SERVING answers, AVAILABLE could, LOADING will soon, REJECTED cannot
    reason   one sentence: why it was rejected, or why its changed files were not loaded; else empty
    """

    version: int
    state: VersionState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The model that a server serves.

    name            of the model
    version         the version that answers requests without a version; 0: no version serves
    runtime         what computes the predictions: "litert" or "keras"
    network         the network's name; "imported" for an imported model
    labels          the ten names of the digits, in the order of `Prediction.digit`; empty if the model has none
    test_accuracy   share of the test set answered correctly, 0 to 1; 0 if it is not known
    created_at      when the version was published, UTC; None if it is not known
    versions        every version that the server has seen, in ascending order
    pinned_version  the version that is pinned; 0: no pin
    canary_version  the version that answers `canary_share` of the requests without a version; 0: no canary
    canary_share    0 to 1
    shadow_version  the version that scores copies of requests and answers no request; 0: no shadow
    message         the whole answer, a digits.v1.GetModelResponse; its fields and methods are found here, too
    """

    name: str
    version: int
    runtime: str
    network: str
    labels: tuple[str, ...]
    test_accuracy: float
    created_at: datetime | None
    versions: tuple[ModelVersion, ...]
    pinned_version: int
    canary_version: int
    canary_share: float
    shadow_version: int
    message: GetModelResponse = field(repr=False, hash=False, compare=False)

    def __getattr__(self, name: str) -> Any:
        """The fields of `message`, `manifest` above all: `Client.model` used to return it."""
        if name == "message" or name.startswith("__"):  # copy and pickle ask for attributes before there is a message
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.message, name)


def model_info(message: GetModelResponse) -> ModelInfo:
    """The answer of GetModel as a plain object."""
    manifest = message.manifest
    return ModelInfo(
        name=manifest.model_name,
        version=manifest.model_version,
        runtime=message.runtime,
        network=manifest.training.network,
        labels=tuple(manifest.labels),
        test_accuracy=manifest.metrics.test_accuracy,
        created_at=_created(message),
        versions=tuple(ModelVersion(item.version, _state(item.state), item.reason) for item in message.versions),
        pinned_version=message.pinned_version,
        canary_version=message.canary_version,
        canary_share=message.canary_share,
        shadow_version=message.shadow_version,
        message=message,
    )


def _created(message: GetModelResponse) -> datetime | None:
    try:
        return message.manifest.created_at.ToDatetime(timezone.utc) if message.manifest.HasField("created_at") else None
    except (ValueError, OverflowError):  # not a time that Python has
        return None


def _state(number: int) -> VersionState:
    """The state; unspecified for a newer server's state that this client does not know."""
    try:
        return VersionState(number)
    except ValueError:
        return VersionState.STATE_UNSPECIFIED
