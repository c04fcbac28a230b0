"""Loads a model file from elsewhere, after every check, first in a child process with limits."""

import hashlib
import resource
import shutil
import subprocess  # nosec B404
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

from digits.v1.manifest_pb2 import ModelFile
from digits_training.errors import ModelFileError
from digits_training.importing import saved_model
from digits_training.networks.backend import quiet
from digits_training.untrusted import built, files, hdf5

CHILD_BYTES = 2 * 2**30  # of address space, beyond TensorFlow's own, to load a file with
CHILD_SECONDS = 120  # to start TensorFlow and load a file
_REFUSED, _OUT_OF_MEMORY = 3, 4  # exit codes of the child process


def load(path: Path) -> Any:
    """The keras.Model in a .keras or .h5 file or a SavedModel folder, after every check. Raises ModelFileError.

    A child process with limits of memory and time loads the private copy first, and this process only after it.
    """
    if not path.is_dir() and path.suffix not in {".keras", ".h5", ".hdf5"}:
        raise ModelFileError(f"{path.name} is not a .keras file, an .h5 file or a SavedModel folder")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / f"model{path.suffix}"  # the checked file, even if the original changes
        if path.is_dir():
            saved_model.check_files(path)
            shutil.copytree(path, copy, symlinks=True)
        else:
            copy.write_bytes(files.private_copy(files.read_bounded(path), path.suffix))
        _try_in_child(copy, path.name)
        return _load_copy(copy, path.name)


def _try_in_child(copy: Path, name: str) -> None:
    """Loads the copy in a process with limits of memory and time. Raises ModelFileError if that fails."""
    try:
        done = load_in_child(copy, name)
    except subprocess.TimeoutExpired:
        raise ModelFileError(f"refused: loading {name} took longer than {CHILD_SECONDS} s") from None
    if done.returncode == _REFUSED:
        raise ModelFileError((done.stdout.decode(errors="replace").strip().splitlines() or ["refused"])[-1][:500])
    if done.returncode < 0:
        raise ModelFileError(f"refused: the process that loaded {name} ended with signal {-done.returncode}")
    if done.returncode == _OUT_OF_MEMORY:
        raise ModelFileError(f"refused: loading {name} takes more than {CHILD_BYTES // 2**20:,} MiB of memory")
    if done.returncode:
        reason = (done.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1][:200]
        raise ModelFileError(f"{name} could not be loaded (exit code {done.returncode}): {reason}")


def load_in_child(copy: Path, name: str) -> "subprocess.CompletedProcess[bytes]":
    """Runs `load_with_limits` in a process of its own. Raises subprocess.TimeoutExpired."""
    command = [sys.executable, "-c", "from digits_training.importing import loading; loading.load_with_limits()"]
    return subprocess.run(  # nosec B603
        [*command, str(copy), name], capture_output=True, timeout=CHILD_SECONDS, check=False
    )


def load_with_limits() -> None:
    """The child process: loads the file named in its arguments, and prints what is wrong with it."""
    from digits_training.networks import backend

    copy, name = Path(sys.argv[1]), sys.argv[2]
    backend.start(seed=0)
    import keras  # noqa: F401 - so that the limit does not count TensorFlow's own address space

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + CHILD_BYTES, used + CHILD_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        _load_copy(copy, name)
    except ModelFileError as error:
        sys.stdout.write(f"{error}\n")
        sys.stdout.flush()
        sys.exit(_REFUSED)
    except Exception as error:
        if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
            sys.exit(_OUT_OF_MEMORY)
        raise


def _load_copy(copy: Path, name: str) -> Any:
    if copy.is_dir():
        rebuilt = saved_model.rebuild(copy)
        built.check(rebuilt)
        return rebuilt
    if copy.suffix != ".keras":
        hdf5.check_strings(copy)
    config = files.checked(copy.read_bytes(), copy.suffix)
    try:
        # Keras's warnings are for the author of the file, not for the user who imports it.
        with quiet(), warnings.catch_warnings(action="ignore"):
            import keras

            _probe(config)
            return built.without_resizing(keras.models.load_model(copy, compile=False, safe_mode=True), config)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RuntimeError) as error:
        raise ModelFileError(f"Keras cannot load {name}: {_first_line(error)}") from error


def identity(path: Path) -> ModelFile:
    """Name, checksum and size of the file; of a SavedModel, of its saved_model.pb."""
    file = path / "saved_model.pb" if path.is_dir() else path
    content = file.read_bytes()
    return ModelFile(path=path.name, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))


def _probe(config: dict[str, Any]) -> None:
    """Builds the model without memory for its weights, to check how large it would be."""
    import keras

    try:
        with keras.StatelessScope(initialize_variables=False):
            built.check(built.build(config))
    finally:
        keras.utils.clear_session()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
