"""Model files from elsewhere, looked at before anything of them is built.

Keras files have executed code when loaded: through Lambda layers, through functions and modules named in the
configuration, through pickles, and `safe_mode` has been bypassed (CVE-2025-1550) or never applied to .h5
(CVE-2025-9905). So the file is taken apart as plain data first: a bounded zip or HDF5 file, and a configuration in
which every class, function and module is on a list of harmless ones.
"""

import io
import json
import math
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from digits_training.errors import ModelFileError
from digits_training.settings import ACTIVATIONS

MAX_BYTES = 256 * 2**20  # of a file, of what a zip unpacks to, of the arrays of an HDF5 file
MAX_CONFIG_BYTES = 2**20
MAX_EXPANSION = 100  # how many times its stored size anything may unpack to; DEFLATE reaches 1,032
MAX_OBJECTS = 5_000  # groups and datasets of an HDF5 file
MAX_DEPTH = 64  # of the configuration's nesting
MAX_GROUP_DEPTH = 16
MAX_REASON = 300  # characters of an error message, which may quote the file
_GZIP = 1
_FILTERS = {_GZIP, 2, 3, 4, 32_000}  # HDF5's codes: gzip, shuffle, fletcher32, szip, lzf

LAYERS = frozenset(
    """
    InputLayer Dense Conv2D DepthwiseConv2D SeparableConv2D MaxPooling2D AveragePooling2D GlobalAveragePooling2D
    GlobalMaxPooling2D Flatten Reshape Permute ZeroPadding2D Cropping2D Rescaling Normalization BatchNormalization
    LayerNormalization GroupNormalization Dropout SpatialDropout2D GaussianDropout GaussianNoise AlphaDropout
    Activation ReLU LeakyReLU PReLU ELU Softmax Add Subtract Multiply Average Maximum Minimum Concatenate
    ActivityRegularization
    """.split()  # noqa: SIM905 - forty lines of quotation marks otherwise
)
_MODELS = frozenset({"Sequential", "Functional", "Model"})
_PARTS = frozenset(  # of layers: initializers, regularizers, constraints, and how Keras writes types and tensors
    """
    Zeros Ones Constant RandomNormal RandomUniform TruncatedNormal VarianceScaling GlorotNormal GlorotUniform HeNormal
    HeUniform LecunNormal LecunUniform Orthogonal OrthogonalInitializer Identity IdentityInitializer
    L1 L2 L1L2 OrthogonalRegularizer MaxNorm NonNeg UnitNorm MinMaxNorm
    DTypePolicy Policy __keras_tensor__
    """.split()  # noqa: SIM905
)
_MODULES = frozenset(
    """
    keras keras.layers keras.models keras.initializers keras.regularizers keras.constraints keras.activations
    keras.dtype_policies keras.mixed_precision builtins keras.src.models.functional keras.src.models.sequential
    keras.src.engine.functional keras.src.engine.sequential keras.engine.functional keras.engine.sequential
    tensorflow.keras.layers
    """.split()  # noqa: SIM905
)


def check_keras_file(content: bytes) -> dict[str, Any]:
    """The configuration of a .keras file, after every check. Raises ModelFileError."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            names = [member.filename for member in members]
            _require(len(set(names)) == len(names), "the zip archive holds two files of one name")
            unknown = sorted(set(names) - {"config.json", "metadata.json", "model.weights.h5"})
            _require(not unknown, f"the zip archive holds {unknown[:1]}, which no plain model needs")
            for member in members:
                limit = MAX_CONFIG_BYTES if member.filename.endswith(".json") else MAX_BYTES
                expands = member.file_size > MAX_EXPANSION * max(member.compress_size, 1024)
                bomb = f"{member.filename} unpacks to {member.file_size:,} bytes from {member.compress_size:,}"
                _require(member.file_size <= limit and not expands, f"zip bomb: {bomb}")
            config, weights = archive.read("config.json"), archive.read("model.weights.h5")
    except KeyError as error:
        raise ModelFileError(f"refused: {error.args[0]}") from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise ModelFileError("refused: not a sound .keras file (a zip archive)") from error
    with _hdf5(weights) as file:
        _check_hdf5(file)
    return _checked_config(config)


def check_h5_file(content: bytes) -> dict[str, Any]:
    """The configuration of a legacy .h5 file, after every check. Raises ModelFileError."""
    with _hdf5(content) as file:
        _check_hdf5(file)
        config = file.attrs.get("model_config")
    _require(isinstance(config, str | bytes), "the .h5 file holds no model configuration, perhaps only weights")
    return _checked_config(config)


def private_copy(content: bytes, suffix: str) -> bytes:
    """The same file after every check, without the training state at any depth. Raises ModelFileError."""
    result = io.BytesIO()
    if suffix == ".keras":
        text = json.dumps(without_compile_config(check_keras_file(content)))
        with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(result, "w") as target:
            for name in source.namelist():
                target.writestr(name, text if name == "config.json" else source.read(name))
        return result.getvalue()
    import h5py

    text = json.dumps(without_compile_config(check_h5_file(content)))
    result.write(content)
    with h5py.File(result, "r+") as file:
        file.attrs["model_config"] = text.encode()
    return result.getvalue()


def without_compile_config(node: Any) -> Any:
    """A copy without any `compile_config`: Keras reads those of nested models even with `compile=False`."""
    if isinstance(node, list):
        return [without_compile_config(element) for element in node]
    if isinstance(node, dict):
        return {key: without_compile_config(value) for key, value in node.items() if key != "compile_config"}
    return node


def check_config(node: Any, depth: int = 0) -> None:
    """Raises ModelFileError if anything in a model's configuration is not on the lists above."""
    _require(depth <= MAX_DEPTH, "the configuration is nested too deeply")
    if isinstance(node, list):
        for element in node:
            check_config(element, depth + 1)
    if not isinstance(node, dict):
        return
    if "class_name" in node:
        _check_named(node)
    for key, value in node.items():
        if key.endswith("activation") and isinstance(value, str):
            _require(value in ACTIVATIONS, f"activation {value!r} is not one of Keras's own")
        mixed = isinstance(value, str) and value.startswith("mixed_")
        _require(not mixed, f"the model computes in {value!r}; set its dtype policy to 'float32' and save it again")
        if key != "compile_config":  # removed from the copy that Keras reads
            check_config(value, depth + 1)


def _check_named(node: dict[str, Any]) -> None:
    """A dictionary that names a class or a function to be made."""
    name, module, registered = node["class_name"], node.get("module"), node.get("registered_name")
    _require(module is None or module in _MODULES, f"the configuration asks for the module {module!r}")
    if name == "function":
        function = node.get("config")
        _require(function in ACTIVATIONS, f"the configuration asks for the function {function!r}")
        _require(registered in {None, function}, f"the configuration asks for the function {registered!r}")
        return
    _require(isinstance(name, str) and name in LAYERS | _MODELS | _PARTS, f"{name!r} is not among the layers taken")
    _require(registered in {None, name}, f"the configuration asks for {registered!r}, which is not Keras's own")


def _checked_config(text: str | bytes) -> dict[str, Any]:
    _require(len(text) <= MAX_CONFIG_BYTES, f"the configuration is {len(text):,} bytes long")
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelFileError("refused: the model's configuration is not sound JSON") from error
    _require(isinstance(config, dict) and config.get("class_name") in _MODELS, "the file does not hold a Keras model")
    check_config(config)
    return dict(config)


def _hdf5(content: bytes) -> Any:
    import h5py

    try:
        return h5py.File(io.BytesIO(content), "r")
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelFileError("refused: not a sound HDF5 file") from error


def _check_hdf5(file: Any) -> None:
    """Only plain groups and datasets, linked within the file, with arrays as large as what is stored of them."""
    import h5py

    objects = total = 0
    waiting = [(file, 0)]
    try:
        while waiting:
            group, depth = waiting.pop()
            objects += 1
            _require(objects <= MAX_OBJECTS and depth <= MAX_GROUP_DEPTH, "the HDF5 file has too many objects")
            total += _attribute_bytes(group)
            if isinstance(group, h5py.Dataset):
                total += _dataset_bytes(group)
                _require(total <= MAX_BYTES, f"HDF5 shape bomb: its arrays take {total:,} bytes")
                continue
            for name in group:
                link = group.get(name, getlink=True)
                _require(isinstance(link, h5py.HardLink), "the HDF5 file links to another place or file")
                waiting.append((group[name], depth + 1))
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, zlib.error) as error:
        raise ModelFileError("refused: the HDF5 file is damaged") from error


def _dataset_bytes(dataset: Any) -> int:
    plain = not dataset.is_virtual and not dataset.external and dataset.dtype.kind in "fiubS"
    _require(plain, f"the HDF5 dataset {dataset.name} is not a plain array")
    declared, stored = int(dataset.size) * int(dataset.dtype.itemsize), int(dataset.id.get_storage_size())
    bomb = f"{dataset.name} declares {declared:,} bytes and stores {stored:,}"
    _require(declared <= MAX_EXPANSION * max(stored, 1024), f"HDF5 shape bomb: {bomb}")
    return max(declared, _unpacked_bytes(dataset, declared) if dataset.chunks else 0)


def _unpacked_bytes(dataset: Any, declared: int) -> int:
    """Size of a dataset's chunks, each of which must unpack to no more than its shape says."""
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(index) for index in range(properties.get_nfilters())]
    unknown = [code for code, *_ in filters if code not in _FILTERS]
    _require(not unknown, f"{dataset.name} is stored with the HDF5 filter {unknown[:1]}; gzip, lzf and szip are taken")
    codes = [code for code, *_ in filters]
    _require(len(set(codes)) == len(codes), f"{dataset.name} is stored with one HDF5 filter twice")
    size = math.prod(dataset.chunks) * int(dataset.dtype.itemsize)
    bomb = f"HDF5 chunk bomb: {dataset.name} declares {declared:,} bytes, and one of its chunks unpacks to more"
    _require(size <= max(declared, MAX_CONFIG_BYTES), bomb)
    count = int(dataset.id.get_num_chunks())
    _require(count * size <= MAX_BYTES, f"HDF5 shape bomb: the chunks of {dataset.name} take {count * size:,} bytes")
    for index in range(count):
        chunk = dataset.id.get_chunk_info(index)
        _require(chunk.size <= size + size // 100 + 1024, bomb)
        if _GZIP in codes and not chunk.filter_mask & 1 << codes.index(_GZIP):
            _, packed = dataset.id.read_direct_chunk(chunk.chunk_offset)
            unpacked = zlib.decompressobj().decompress(packed, size + 1025)
            _require(len(unpacked) <= size + 1024, bomb)
    return int(count * size)


def _attribute_bytes(node: Any) -> int:
    """Size of a node's attributes, from their headers alone."""
    total = 0
    for name in node.attrs:
        attribute = node.attrs.get_id(name)
        total += math.prod(attribute.shape) * int(attribute.dtype.itemsize)
        _require(total <= 8 * MAX_CONFIG_BYTES, f"HDF5 shape bomb: the attribute {name!r}")
        _require(attribute.dtype.kind in "fiubSO", f"the HDF5 attribute {name!r} is not plain")
        # Many strings may be one stored string. This process reads only `model_config`, so that has to be a single one.
        _require(name != "model_config" or attribute.shape == (), "model_config is not one string")
    return total


def check_strings(path: Path) -> None:
    """Reads the attributes of an .h5 file, whose strings may share one stored string: call it where memory is limited.

    Raises ModelFileError if they take more than attributes may.
    """
    import h5py

    total = 0

    def add(_name: str, node: Any) -> None:
        nonlocal total
        for value in node.attrs.values():
            strings: Any = value.ravel() if isinstance(value, np.ndarray) and value.dtype.kind == "O" else []
            total += sum(len(string) for string in strings)
            _require(total <= 8 * MAX_CONFIG_BYTES, f"HDF5 string bomb: attributes take {total:,} characters")

    try:
        with h5py.File(path, "r") as file:
            add("/", file)
            file.visititems(add)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise ModelFileError("refused: the HDF5 file's attributes are damaged or too large") from error


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise ModelFileError(f"refused: {reason[:MAX_REASON]}")


def read_bounded(path: Path) -> bytes:
    """The file's bytes, read once, so that what is checked is what is loaded. Raises ModelFileError or OSError."""
    size = path.stat().st_size
    _require(size <= MAX_BYTES, f"{path.name} is {size:,} bytes long; up to {MAX_BYTES:,} are taken")
    return path.read_bytes()
