"""The model repository on disk: finds versions, and checks each against its manifest.

A version is trusted only after verification: every listed file has the right size and hash, and lies inside the
version's folder without a link on its path. Files are read once and passed on as bytes, so the loaded bytes are the
verified ones.
"""

import errno
import hashlib
import heapq
import json
import math
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from google.protobuf import json_format

from digits.v1.manifest_pb2 import Manifest, ModelFile
from digits_server.errors import NO_REPOSITORY, ModelRejected, RepositoryError
from digits_server.models import signatures
from digits_server.models.change_detection import ContentWatch, digest_of, look_into
from digits_server.models.signatures import Signers
from digits_server.system.regular_files import (
    NotRegular,
    TooLarge,
    opened_below,
    opened_folder,
    opened_regular,
    read_regular,
)

SCHEMA_VERSION = 1
"""The manifest schema this server reads."""

MAX_MANIFEST_BYTES = 512 * 1024
"""Largest manifest; the training job writes 33 kB. Each answer of GetModel contains all of it."""

PIECE_BYTES = 1024 * 1024
"""Bytes that are read at once of a file that is only compared with its manifest."""

MAX_FILES = 100
"""Most files of one version; the training job writes about ten."""

MAX_NETWORK_CHARACTERS = 100
"""Longest name of a network, which is a label of `digits_model_info`."""

MAX_VERSIONS = 200
"""How many of the newest versions are considered; older ones only if they are pinned or in use."""

_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")
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
        return self._manifest(self._folder / str(version), version)

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
            if item.path == model_file:
                model = self._verified(folder, item)
            else:
                _check_content(folder, item)
        return VerifiedVersion(manifest=manifest, model=model)

    def read(self, version: int, file: ModelFile) -> bytes:
        """One file that a verified manifest lists, verified again. Raises ModelRejected if it has changed."""
        return self._verified(self._folder / str(version), file)

    def _manifest(self, folder: Path, version: int) -> Manifest:
        content = _read(folder, "manifest.json", MAX_MANIFEST_BYTES)
        if self._signers:
            self._signers.check(content, _read(folder, signatures.FILE_NAME, signatures.SIGNATURE_BYTES))
        try:
            # An unknown field may belong to a later schema, so the schema's number is checked first.
            fields = json.loads(content, parse_float=_finite, parse_constant=_finite)
            _check_texts(fields)
            newer = isinstance(fields, dict) and fields.get("schemaVersion") != SCHEMA_VERSION
            manifest = json_format.ParseDict(fields, Manifest(), ignore_unknown_fields=newer)
        except (json_format.ParseError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ModelRejected(
                "manifest", "manifest.json is not a valid manifest: expected digits.v1.Manifest as JSON"
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
            raise ModelRejected("manifest", "manifest.json has no golden images to verify the model with")
        if any(len(item.image) != 784 or len(item.probabilities) != 10 for item in manifest.golden_images):
            raise ModelRejected("manifest", "manifest.json: a golden image must have 784 bytes and 10 probabilities")
        if manifest.HasField("unlike") and len(manifest.unlike.golden_distances) != 10 * len(manifest.golden_images):
            raise ModelRejected("manifest", "manifest.json: unlike must have 10 golden distances for each golden image")
        if len(manifest.training.network) > MAX_NETWORK_CHARACTERS:
            raise ModelRejected(
                "manifest", f"manifest.json: a network's name has at most {MAX_NETWORK_CHARACTERS} letters"
            )
        if len(manifest.files) > MAX_FILES:
            raise ModelRejected("manifest", f"manifest.json lists {len(manifest.files)} files; at most {MAX_FILES}")
        total = sum(item.size_bytes for item in manifest.files)
        if any(item.size_bytes < 0 for item in manifest.files) or total > self._max_bytes:
            raise ModelRejected("size", f"the files have {total} bytes; at most {self._max_bytes} (max_model_bytes)")

    @staticmethod
    def _verified(folder: Path, item: ModelFile) -> bytes:
        content = _read(folder, item.path, item.size_bytes)
        _check_found(item, len(content), hashlib.sha256(content).hexdigest())
        return content


def _read(folder: Path, name: str, limit: int) -> bytes:
    """The content of a regular file below `folder`, of at most `limit` bytes. No link is followed.

    The file is opened once, from the descriptor of its folder: the checked file is the one that is read, even if
    another one takes its place meanwhile.
    """
    with _opened(folder, name, limit) as (place, file):
        return read_regular(file, limit, within=place)


def _check_content(folder: Path, item: ModelFile) -> None:
    """Reads a file in pieces, never as a whole. Raises ModelRejected unless it is what `item` says."""
    digest, size = hashlib.sha256(), 0
    with _opened(folder, item.path, item.size_bytes) as (place, name), opened_regular(name, within=place) as file:
        while piece := file.read(PIECE_BYTES):
            size += len(piece)
            if size > item.size_bytes:
                raise TooLarge(item.size_bytes)
            digest.update(piece)
    _check_found(item, size, digest.hexdigest())


def _check_found(item: ModelFile, size: int, digest: str) -> None:
    if size != item.size_bytes:
        raise ModelRejected("size", f"{item.path} has {size} bytes; its manifest says {item.size_bytes}")
    if digest != item.sha256:
        raise ModelRejected("hash", f"{item.path} does not have the SHA-256 in its manifest")


@contextmanager
def _opened(folder: Path, name: str, limit: int) -> Iterator[tuple[int, str]]:
    """The descriptor of the folder that holds a version's file, and the file's name there. Each folder is opened once.

    Raises ModelRejected for a path that leaves the folder, and for every OSError inside; the message names `limit`.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\0" in name:
        raise ModelRejected("path", "the manifest lists a file outside the version's folder")
    try:
        with (
            opened_folder(folder.parent) as versions,
            opened_folder(folder.name, within=versions) as version,
            opened_below(version, str(path)) as found,
        ):
            yield found
    except NotRegular as error:
        if error.kind == "a symbolic link":
            raise ModelRejected("path", f"{name} is reached through a symbolic link") from error
        raise ModelRejected("missing", f"{name} is missing: expected a regular file, found {error.kind}") from error
    except TooLarge as error:
        raise ModelRejected("size", f"{name} is larger than {limit} bytes") from error
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENAMETOOLONG):
            raise ModelRejected("missing", f"{name} is missing") from error
        raise ModelRejected("read", f"{name} cannot be read: {error.strerror}") from error


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError("a number is not finite")
    return value


def _check_texts(fields: object) -> None:
    """Raises ModelRejected for a text with control characters, or for a number that is not finite."""
    for text in _texts(fields):
        if _CONTROL_CHARACTER.search(text):
            raise ModelRejected("manifest", "manifest.json has a control character in a text")
        if text in ("NaN", "Infinity", "-Infinity"):
            raise ModelRejected("manifest", "manifest.json has a number that is not finite")


def _texts(fields: object) -> Iterator[str]:
    """Every text in a JSON value, names of fields included."""
    if isinstance(fields, str):
        yield fields
    elif isinstance(fields, dict):
        for name, value in fields.items():
            yield name
            yield from _texts(value)
    elif isinstance(fields, list):
        for value in fields:
            yield from _texts(value)
