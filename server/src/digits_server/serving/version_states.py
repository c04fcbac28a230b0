"""The state of every version seen: available, being loaded, serving, or rejected with a reason."""

import logging
from collections.abc import Collection, Iterable

from digits.v1.prediction_pb2 import ModelVersionStatus
from digits_server.observability.collectors import Counter

log = logging.getLogger(__name__)


class VersionStates:
    """What became of each version. Lives on the event loop.

    failures  counts rejected versions by cause
    """

    def __init__(self, failures: Counter) -> None:
        self._failures = failures
        self._seen: set[int] = set()
        self._loading: int | None = None
        self._rejected: dict[int, str] = {}

    @property
    def rejected(self) -> set[int]:
        """The versions whose files failed when they were last tried."""
        return set(self._rejected)

    def rejections(self, *, in_use: Collection[int]) -> dict[int, str]:
        """The rejected versions, and why, except those `in_use` from earlier content of their files."""
        return {version: reason for version, reason in self._rejected.items() if version not in in_use}

    def statuses(self, *, serving: Collection[int]) -> list[ModelVersionStatus]:
        """The state of every version seen, in ascending order."""
        return [
            ModelVersionStatus(
                version=version,
                state=ModelVersionStatus.SERVING if version in serving else self._state(version),
                reason=self._rejected.get(version, ""),
            )
            for version in sorted(self._seen.union(serving))
        ]

    def saw(self, versions: Iterable[int]) -> None:
        """Receives the versions that exist now. Others are forgotten."""
        self._seen = set(versions)
        self._rejected = {version: reason for version, reason in self._rejected.items() if version in self._seen}

    def loading(self, version: int) -> None:
        """`version` is being loaded, until it is loaded or rejected."""
        self._loading = version
        self._rejected.pop(version, None)

    def loaded(self) -> None:
        """The version that was being loaded is good."""
        self._loading = None

    def reject(self, version: int, cause: str, reason: str) -> None:
        """`version` failed. If it already serves, from earlier content of its files, it goes on."""
        self._loading = None
        self._rejected[version] = reason
        self._failures.labels(cause).inc()
        log.error("model version %d rejected: %s", version, reason)

    def _state(self, version: int) -> "ModelVersionStatus.State.ValueType":
        if version == self._loading:
            return ModelVersionStatus.LOADING
        return ModelVersionStatus.REJECTED if version in self._rejected else ModelVersionStatus.AVAILABLE
