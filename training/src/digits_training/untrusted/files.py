"""Model files: their checks, and the private copy that Keras loads."""

import io
import json
import os
import stat
import zipfile
import zlib
from pathlib import Path
from typing import Any

from digits_training.errors import ModelFileError
from digits_training.untrusted import hdf5
from digits_training.untrusted.configuration import plain_configuration
from digits_training.untrusted.limits import MAX_BYTES, MAX_CONFIG_BYTES, MAX_EXPANSION, require

_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"


def read_bounded(path: Path) -> bytes:
    """The file's bytes, read once, so that the checked bytes are the loaded ones. Raises ModelFileError or OSError."""
    descriptor = os.open(
        path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    )  # without O_NONBLOCK, open() would wait for a named pipe
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        require(stat.S_ISREG(found.st_mode), f"{path.name} is not a regular file")
        size = found.st_size
        require(size <= MAX_BYTES, f"{path.name} is {size:,} bytes long; at most {MAX_BYTES:,} are allowed")
        return file.read(size)  # not more, even if the file grows


def checked(content: bytes, suffix: str) -> dict[str, Any]:
    """The rewritten configuration of a model file, after every check of the file. Raises ModelFileError."""
    return _checked_keras_file(content)[0] if suffix == ".keras" else _checked_h5_file(content)


def private_copy(content: bytes, suffix: str) -> bytes:
    """A model file with the same weights and the rewritten configuration, and nothing else. Raises ModelFileError."""
    result = io.BytesIO()
    if suffix == ".keras":
        config, weights = _checked_keras_file(content)
        with zipfile.ZipFile(result, "w") as target:
            target.writestr(_CONFIG, json.dumps(config))
            target.writestr(_WEIGHTS, weights)
        return result.getvalue()
    import h5py

    config = _checked_h5_file(content)
    result.write(content)
    with h5py.File(result, "r+") as file:
        file.attrs["model_config"] = json.dumps(config)  # a string can have any length, bytes only 64 KiB
        file.attrs.pop("training_config", None)
    return result.getvalue()


def _checked_keras_file(content: bytes) -> tuple[dict[str, Any], bytes]:
    """The rewritten configuration, and the HDF5 file of the weights."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            names = [member.filename for member in members]
            require(len(set(names)) == len(names), "the zip archive has two files with the same name")
            unknown = sorted(set(names) - {_CONFIG, _METADATA, _WEIGHTS})
            require(not unknown, f"the zip archive has {unknown[:1]}, which no plain model needs")
            for member in members:
                packed = member.compress_type in {
                    zipfile.ZIP_STORED,
                    zipfile.ZIP_DEFLATED,
                }  # other methods unpack without a bound
                require(packed, f"{member.filename} is compressed with another method than deflate")
                limit = MAX_CONFIG_BYTES if member.filename.endswith(".json") else MAX_BYTES
                expands = member.file_size > MAX_EXPANSION * max(member.compress_size, 1024)
                bomb = f"{member.filename} unpacks to {member.file_size:,} bytes from {member.compress_size:,}"
                require(member.file_size <= limit and not expands, f"zip bomb: {bomb}")
            config, weights = archive.read(_CONFIG), archive.read(_WEIGHTS)
            metadata = archive.read(_METADATA) if _METADATA in names else b"{}"
    except KeyError as error:
        raise ModelFileError(f"refused: {error.args[0]}") from error
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        EOFError,
        OSError,
        OverflowError,
        ValueError,
        zlib.error,
    ) as error:
        raise ModelFileError("refused: not a valid .keras file (a zip archive)") from error
    with hdf5.opened(weights) as file:
        hdf5.check(file)
    return plain_configuration(config, _keras_version(metadata)), weights


def _keras_version(metadata: bytes) -> str:
    try:
        return str(json.loads(metadata)["keras_version"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return "3"


def _checked_h5_file(content: bytes) -> dict[str, Any]:
    with hdf5.opened(content) as file:
        hdf5.check(file)
        config = file.attrs.get("model_config")
        version = _text(file.attrs.get("keras_version", ""))
    require(
        isinstance(config, str | bytes),
        "the .h5 file has no model configuration, perhaps only weights: save the whole model",
    )
    return plain_configuration(config, version or "2.0")


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
