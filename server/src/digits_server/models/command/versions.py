"""The versions of one repository, as a server with the same settings would see them."""

from digits.v1.manifest_pb2 import Manifest
from digits_server.errors import ModelRejected, OperatorError
from digits_server.models.pins import PinFile
from digits_server.models.published import PublishedVersions
from digits_server.models.rollout import Rollout, StatedRollout, effective
from digits_server.models.verification import verify
from digits_server.settings import MODEL_NAME, Settings

LARGEST_BATCH = 1
"""Batch size with which a version is tried here, in images; a server tries all sizes."""


class Versions:
    """Each version is verified at its first use."""

    def __init__(self, settings: Settings) -> None:
        """Raises OperatorError when there is no such repository."""
        self._source = PublishedVersions(settings)
        self._flags = settings.canary, settings.shadow
        self._reasons: dict[int, str] = {}
        self._manifests: dict[int, Manifest] = {}
        self.folder = settings.repository / MODEL_NAME
        self.pins = PinFile(self.folder)
        self.there()

    def there(self, also: set[int] | None = None) -> list[int]:
        """The newest versions in the repository, and those of `also` that exist, ascending."""
        return self._source.versions(also or set())

    def every(self) -> list[int]:
        """All of them, however many, ascending."""
        return self._source.every_version()

    def rollout(self, stated: StatedRollout) -> Rollout:
        """The rollout with this content of pin.json. The flags fill in what it leaves unset."""
        return effective(stated, *self._flags)

    def reason(self, version: int) -> str:
        """Why a server would reject `version`; empty if it would not."""
        if version not in self.there({version}):
            return "there is no such version"
        if version not in self._reasons:
            try:
                self._manifests[version] = verify(self._source, version, LARGEST_BATCH).loaded.manifest
                self._reasons[version] = ""
            except ModelRejected as rejection:
                self._reasons[version] = rejection.message
        return self._reasons[version]

    def manifest(self, version: int) -> Manifest | None:
        """The manifest of a version; also of a rejected version, if it can be read."""
        if version not in self._manifests:
            try:
                self._manifests[version] = self._source.manifest(version)
            except ModelRejected:
                return None
        return self._manifests[version]

    def current(self, rollout: Rollout) -> int:
        """The version that would answer requests without a version if a server started now; 0: no version is good."""
        candidates = rollout.candidates(self.there(rollout.versions), at_start=True)
        return next((version for version in candidates if not self.reason(version)), 0)

    def canary(self, rollout: Rollout) -> int:
        """The version that gets the canary's share of the requests; 0: no version does."""
        version = rollout.canary.version
        if not version or version in (rollout.shadow, self.current(rollout)) or self.reason(version):
            return 0
        return version

    def before(self, version: int) -> int:
        """The highest good version below `version`. Raises OperatorError."""
        for earlier in reversed(self.there()):
            if earlier < version and not self.reason(earlier):
                return earlier
        raise OperatorError(f"there is no good version before {version}")
