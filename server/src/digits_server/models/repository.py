"""The model repository on disk: which versions there are, and whether one is what its manifest says.

A version is trusted only as far as it was verified: every file listed, of the right size and hash, and none reached
through a link or outside the version's folder. What is verified is read once and handed on as bytes, so that what is
loaded is what was verified.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from google.protobuf import json_format

from digits.v1.manifest_pb2 import Manifest, ModelFile
from digits_server.errors import ModelRejected, RepositoryError
from digits_server.models import signatures
from digits_server.models.change_detection import Fingerprint, fingerprint
from digits_server.models.signatures import Signers

SCHEMA_VERSION = 1
"""The manifest schema this server reads."""

MAX_MANIFEST_BYTES = 4 * 1024 * 1024
MAX_FILES = 100
"""Files of one version; the training job writes about ten."""

_VERSION_NAME = re.compile(r"[1-9][0-9]{0,17}")


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifiedVersion:
    """A version that is what its manifest says. `model` holds the verified bytes of the file to load."""

    manifest: Manifest
    model: bytes

    @property
    def version(self) -> int:
        return self.manifest.model_version


class ModelRepository:
    """The folder `root/name/<version>/`. Reads only."""

    def __init__(self, root: Path, name: str, *, max_bytes: int, signers: Signers | None = None) -> None:
        """`max_bytes` bounds the size of one version, all files together; `signers` must have signed it, if given."""
        self._signers = signers
        self._folder = root / name
        self._name = name
        self._max_bytes = max_bytes

    def versions(self) -> list[int]:
        """The published versions, ascending. Names that are no positive integers are none: unfinished or foreign.

        Raises RepositoryError when there is no such repository.
        """
        try:
            names = [entry.name for entry in self._folder.iterdir() if entry.is_dir()]
        except OSError as error:
            raise RepositoryError(f"no model repository at {self._folder}: expected folders 1, 2, … there") from error
        return sorted(int(name) for name in names if _VERSION_NAME.fullmatch(name))

    def fingerprint(self, version: int) -> Fingerprint:
        """What changes whenever a file of `version` does."""
        return fingerprint(self._folder / str(version))

    def verify(self, version: int, model_file: str) -> VerifiedVersion:
        """Checks every file of `version` against its manifest and reads `model_file`.

        Raises ModelRejected with one sentence that says what is wrong.
        """
        folder = self._folder / str(version)
        manifest = self._manifest(folder, version)
        if model_file not in {item.path for item in manifest.files}:
            raise ModelRejected("manifest", f"the manifest lists no {model_file}")
        model = b""
        for item in manifest.files:
            content = self._verified(folder, item)
            if item.path == model_file:
                model = content
        return VerifiedVersion(manifest=manifest, model=model)

    def read(self, version: int, file: ModelFile) -> bytes:
        """One file that a verified manifest lists, verified again. Raises ModelRejected when it is no longer that."""
        return self._verified(self._folder / str(version), file)

    def _manifest(self, folder: Path, version: int) -> Manifest:
        content = _read(folder, "manifest.json", MAX_MANIFEST_BYTES)
        if self._signers:
            self._signers.check(content, _read(folder, signatures.FILE_NAME, signatures.SIGNATURE_BYTES))
        try:
            # A field this schema does not know may stand in a later one: the version number has the first word.
            fields = json.loads(content)
            newer = isinstance(fields, dict) and fields.get("schemaVersion") != SCHEMA_VERSION
            manifest = json_format.ParseDict(fields, Manifest(), ignore_unknown_fields=newer)
        except (json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise ModelRejected(
                "manifest", "manifest.json is no manifest: it must be digits.v1.Manifest as JSON"
            ) from error
        self._check(manifest, version)
        return manifest

    def _check(self, manifest: Manifest, version: int) -> None:
        expected: dict[str, tuple[object, object]] = {
            "schemaVersion": (SCHEMA_VERSION, manifest.schema_version),
            "modelName": (self._name, manifest.model_name),
            "modelVersion": (version, manifest.model_version),
            "input.dtype": ("uint8", manifest.input.dtype),
            "input.shape": ([28, 28], list(manifest.input.shape)),
            "the number of labels": (10, len(manifest.labels)),
        }
        for field, (wanted, found) in expected.items():
            if wanted != found:
                raise ModelRejected("manifest", f"manifest.json: expected {field} {wanted}, found {found}")
        if not manifest.golden_images:
            raise ModelRejected("manifest", "manifest.json has no golden images to prove the model with")
        if any(len(item.image) != 784 or len(item.probabilities) != 10 for item in manifest.golden_images):
            raise ModelRejected("manifest", "manifest.json: a golden image must have 784 bytes and 10 probabilities")
        if len(manifest.files) > MAX_FILES:
            raise ModelRejected("manifest", f"manifest.json lists {len(manifest.files)} files; at most {MAX_FILES}")
        total = sum(item.size_bytes for item in manifest.files)
        if any(item.size_bytes < 0 for item in manifest.files) or total > self._max_bytes:
            raise ModelRejected("size", f"the files have {total} bytes; at most {self._max_bytes} (max_model_bytes)")

    @staticmethod
    def _verified(folder: Path, item: ModelFile) -> bytes:
        content = _read(folder, item.path, item.size_bytes)
        if len(content) != item.size_bytes:
            raise ModelRejected("size", f"{item.path} has {len(content)} bytes; its manifest says {item.size_bytes}")
        if hashlib.sha256(content).hexdigest() != item.sha256:
            raise ModelRejected("hash", f"{item.path} does not have the SHA-256 its manifest says")
        return content


def _read(folder: Path, name: str, limit: int) -> bytes:
    """At most `limit` + 1 bytes of a regular file below `folder`, reached through no link."""
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\0" in name:
        raise ModelRejected("path", "the manifest lists a file outside the version's folder")
    steps = [folder.joinpath(*path.parts[: count + 1]) for count in range(len(path.parts))]
    try:
        if folder.is_symlink() or any(step.is_symlink() for step in steps):
            raise ModelRejected("path", f"{name} is reached through a symbolic link")
        if not steps[-1].is_file():
            raise ModelRejected("missing", f"{name} is missing")
        with steps[-1].open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise ModelRejected("read", f"{name} cannot be read") from error
    if len(content) > limit:
        raise ModelRejected("size", f"{name} is larger than {limit} bytes")
    return content
