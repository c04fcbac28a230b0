"""The model repository on disk: finds versions, and checks each against its manifest.

A version is trusted only after verification: every listed file has the right size and hash, and lies inside the
version's folder without a link on its path. Files are read once and passed on as bytes, so the loaded bytes are the
verified ones.
"""

import heapq
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from digits.v1.manifest_pb2 import Manifest, ModelFile
from digits_server.errors import NO_REPOSITORY, ModelRejected, RepositoryError
from digits_server.models import manifests, signatures
from digits_server.models.change_detection import ContentWatch, digest_of, look_into
from digits_server.models.manifests import MAX_MANIFEST_BYTES
from digits_server.models.signatures import Signers
from digits_server.models.version_files import check_file, read_file, read_verified
from digits_server.system.regular_files import NotRegular, opened_folder

MAX_VERSIONS = 200
"""How many of the newest versions are considered; older ones only if they are pinned or in use."""

_VERSION_NAME = re.compile(r"[1-9][0-9]{0,17}")


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifiedVersion:
    """A verified version. `model` holds the verified bytes of the file to load."""

    manifest: Manifest
    model: bytes

    @property
    def version(self) -> int:
        return self.manifest.model_version


class ModelRepository:
    """The folder `root/name/<version>/`. Reads only."""

    def __init__(self, root: Path, name: str, *, max_bytes: int, signers: Signers | None = None) -> None:
        """`max_bytes` bounds the size of one version, all files together.

        If `signers` is given, one of them must have signed it.
        """
        self._signers = signers
        self._folder = root / name
        self._name = name
        self._max_bytes = max_bytes
        self._contents = ContentWatch()

    def every_version(self) -> list[int]:
        """All published versions, in any order; other folders are skipped. Raises RepositoryError."""
        try:
            with os.scandir(self._folder) as entries:
                return [int(item.name) for item in entries if _VERSION_NAME.fullmatch(item.name) and item.is_dir()]
        except OSError as error:
            raise RepositoryError(f"{NO_REPOSITORY} {self._folder}: expected folders 1, 2, … there") from error

    def versions(self, also: Iterable[int] = ()) -> list[int]:
        """The newest MAX_VERSIONS published versions and those of `also`, ascending.

        Raises RepositoryError when there is no such repository.
        """
        found = self.every_version()
        newest = set(heapq.nlargest(MAX_VERSIONS, found)) | set(also).intersection(found)
        self._contents.keep(newest)
        return sorted(newest)

    def fingerprint(self, version: int) -> bytes:
        """A digest that changes when the content of a file of `version` changes. An error is not a change."""
        try:
            with opened_folder(self._folder) as versions, opened_folder(str(version), within=versions) as folder:
                look = look_into(folder)
                return self._contents.digest(version, look, lambda: digest_of(folder, look, self._max_bytes))
        except NotRegular as error:
            return error.kind.encode()
        except OSError:
            return self._contents.known(version)

    def manifest(self, version: int) -> Manifest:
        """The manifest of `version`. The manifest itself is checked, its files are not. Raises ModelRejected."""
        folder = self._folder / str(version)
        content = read_file(folder, manifests.FILE_NAME, MAX_MANIFEST_BYTES)
        if self._signers:
            self._signers.check(content, read_file(folder, signatures.FILE_NAME, signatures.SIGNATURE_BYTES))
        manifest = manifests.parse(content)
        manifests.check(manifest, name=self._name, version=version, max_bytes=self._max_bytes)
        return manifest

    def verify(self, version: int, model_file: str) -> VerifiedVersion:
        """Checks every file of `version` against its manifest and reads `model_file`.

        Raises ModelRejected with one sentence that says what is wrong.
        """
        folder = self._folder / str(version)
        manifest = self.manifest(version)
        if model_file not in {item.path for item in manifest.files}:
            raise ModelRejected("manifest", f"the manifest lists no {model_file}")
        model = b""
        for item in manifest.files:
            if item.path == model_file:
                model = read_verified(folder, item)
            else:
                check_file(folder, item)
        return VerifiedVersion(manifest=manifest, model=model)

    def read(self, version: int, file: ModelFile) -> bytes:
        """One file that a verified manifest lists, verified again. Raises ModelRejected if it has changed."""
        return read_verified(self._folder / str(version), file)
