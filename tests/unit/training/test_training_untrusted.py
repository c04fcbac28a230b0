"""Attacks: a model file that would run code, read files or exhaust memory is refused before anything of it is built."""

import io
import json
import os
import pickle
import resource
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from digits_training import cli
from digits_training.errors import ModelFileError
from digits_training.importing import loading
from digits_training.networks import backend
from digits_training.untrusted import files, hdf5, limits

Config = dict[str, Any]


@pytest.fixture(autouse=True)
def _tensorflow() -> None:
    backend.start(seed=0)


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model.keras and model.h5 of a small honest model, and saved_model of the same."""
    backend.start(seed=0)
    import keras

    folder = tmp_path_factory.mktemp("honest")
    model = keras.Sequential([keras.Input((784,)), keras.layers.Dense(10, activation="softmax", name="dense")])
    with backend.quiet():
        model.save(folder / "model.keras")
        model.save(folder / "model.h5")
        model.export(folder / "saved_model", verbose=False)
    return folder


def _keras_file(honest: Path, path: Path, change: Callable[[Config], object]) -> Path:
    """The honest .keras file with its configuration changed."""
    with zipfile.ZipFile(honest / "model.keras") as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config)
                content = json.dumps(config).encode()
            target.writestr(name, content)
    return path


def _h5_file(honest: Path, path: Path, change: Callable[[Config], object]) -> Path:
    """The honest .h5 file with its configuration changed."""
    path.write_bytes((honest / "model.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        change(config)
        file.attrs["model_config"] = json.dumps(config)
    return path


Write = Callable[[Callable[[Config], object]], Path]


@pytest.fixture(params=["keras", "h5"])
def write(request: pytest.FixtureRequest, honest: Path, tmp_path: Path) -> Write:
    """Writes the honest model with its configuration changed, in either format."""
    writer = {"keras": _keras_file, "h5": _h5_file}[request.param]
    return lambda change: writer(honest, tmp_path / f"evil.{request.param}", change)


def _refused(path: Path, sentence: str) -> None:
    with pytest.raises(ModelFileError, match=sentence):
        loading.load(path)


def test_the_honest_files_are_taken(honest: Path) -> None:
    for name in ("model.keras", "model.h5", "saved_model"):
        assert loading.load(honest / name).output_shape == (None, 10)


def _add_layer(config: Config, layer: Config) -> None:
    config["config"]["layers"].append(layer)


def _lambda(evidence: Path) -> Config:
    """What Keras writes for a Lambda layer whose code creates a file when it is called."""
    import keras

    layer = keras.layers.Lambda(eval(f"lambda x: (open({str(evidence)!r}, 'w').close(), x)[1]"))  # noqa: S307
    return dict(keras.saving.serialize_keras_object(layer))


def test_a_lambda_layer_with_code(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evidence = tmp_path / "code-ran"
    path = write(lambda config: _add_layer(config, _lambda(evidence)))
    assert cli.run(["import", str(path), "--repository", str(tmp_path / "models")]) == 1
    assert capsys.readouterr().err == "digits-train: refused: 'Lambda' is not among the layers taken\n"
    assert not evidence.exists()
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("node", "sentence"),
    [
        ({"class_name": "Popen", "module": "subprocess", "config": {"args": ["touch", "x"]}}, "module 'subprocess'"),
        ({"class_name": "system", "module": "os", "config": "touch x"}, "the module 'os'"),
        ({"class_name": "function", "module": "builtins", "config": "eval"}, "the module 'builtins'"),
        (
            {"class_name": "function", "module": "keras.utils", "config": "get_file", "registered_name": "get_file"},
            "'function' is not among the layers taken",
        ),
        ({"class_name": "TFSMLayer", "module": "keras.layers", "config": {"filepath": "/"}}, "'TFSMLayer' is not"),
        ({"class_name": "TorchModuleWrapper", "module": "keras.layers", "config": {}}, "'TorchModuleWrapper' is not"),
        ({"class_name": "StringLookup", "module": "keras.layers", "config": {"vocabulary": "/etc/passwd"}}, "is not"),
        (
            {"class_name": "Dense", "module": "keras.layers", "registered_name": "evil>Dense", "config": {"units": 3}},
            "'evil>Dense', which is not Keras's own",
        ),
        ({"class_name": "__lambda__", "config": {"value": ["gAAA", None, None]}}, "'__lambda__' is not"),
        ({"class_name": "__typespec__", "module": "os", "config": []}, "module 'os'"),
        ({"class_name": "__numpy__", "config": {"value": [1], "dtype": "object"}}, "'__numpy__' is not"),
        ({"class_name": ["Dense"], "config": {}}, "is not among the layers taken"),
    ],
)
def test_a_class_or_module_that_is_not_on_the_list(node: Config, sentence: str, write: Write) -> None:
    _refused(write(lambda config: _add_layer(config, node)), sentence)


@pytest.mark.parametrize(
    "value",
    ["eval", "evil>activation", {"class_name": "function", "module": "builtins", "config": "exec"}],
    ids=["builtin", "registered", "function"],
)
def test_an_activation_that_is_not_keras_own(value: Any, write: Write) -> None:
    def change(config: Config) -> None:
        config["config"]["layers"][-1]["config"]["activation"] = value

    _refused(write(change), "is not one of Keras's own|asks for the function")


def test_an_object_hidden_deep_in_the_configuration(write: Write) -> None:
    def change(config: Config) -> None:
        config["config"]["layers"][-1]["config"]["units"] = [{"class_name": "x", "module": "os"}]

    _refused(write(change), "where a number was expected")


def test_a_configuration_nested_beyond_reason(write: Write) -> None:
    def change(config: Config) -> None:
        nested: Any = []
        for _ in range(200):
            nested = [nested]
        config["config"]["layers"][-1]["config"]["units"] = nested

    _refused(write(change), "nested too deeply")


@pytest.mark.parametrize(
    "layer",
    [
        {"class_name": "Dense", "module": "keras.layers", "config": {"units": 1_000_000_000, "name": "wide"}},
        {"class_name": "Reshape", "module": "keras.layers", "config": {"target_shape": [1, 10, 1], "name": "r"}},
    ],
    ids=["weights", "features"],
)
def test_a_layer_too_large_for_any_memory(layer: Config, write: Write) -> None:
    padding = {"class_name": "ZeroPadding2D", "module": "keras.layers", "config": {"padding": 9_999, "name": "p"}}

    def change(config: Config) -> None:
        _add_layer(config, layer)
        if layer["class_name"] == "Reshape":
            _add_layer(config, padding)

    _refused(write(change), "parameters and layers of up to .* values an image")


def test_a_zip_bomb(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", bytes(200 * 2**20))
    _refused(tmp_path / "bomb.keras", "zip bomb: model.weights.h5 unpacks to 209,715,200 bytes")


def test_a_configuration_that_fills_the_memory(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.keras", "w") as archive:
        archive.writestr("config.json", " " * (limits.MAX_CONFIG_BYTES + 1))
        archive.writestr("model.weights.h5", b"")
    _refused(tmp_path / "bomb.keras", "zip bomb: config.json")


def test_a_zip_that_lies_about_its_sizes(tmp_path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", bytes(2**20))
    lying = content.getvalue().replace(struct.pack("<I", 2**20), struct.pack("<I", 100))
    (tmp_path / "lying.keras").write_bytes(lying)
    _refused(tmp_path / "lying.keras", "refused: ")


@pytest.mark.parametrize("member", ["../../escaped", "assets/vocabulary.txt", "model.weights.npz", "evil.py"])
def test_a_zip_with_more_than_a_model_needs(member: str, honest: Path, tmp_path: Path) -> None:
    path = _keras_file(honest, tmp_path / "more.keras", lambda _config: None)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(member, pickle.dumps(os.getcwd))
    _refused(path, "which no plain model needs")


def test_a_zip_with_two_files_of_one_name(honest: Path, tmp_path: Path) -> None:
    path = _keras_file(honest, tmp_path / "twice.keras", lambda _config: None)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("config.json", "{}")
    _refused(path, "two files of one name")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", pickle.dumps({"model": 1})])
@pytest.mark.parametrize("name", ["broken.keras", "broken.h5"])
def test_a_file_that_is_something_else(content: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    _refused(tmp_path / name, "refused: not a sound")


def test_a_file_larger_than_any_model(tmp_path: Path) -> None:
    with (tmp_path / "large.h5").open("wb") as file:
        file.truncate(limits.MAX_BYTES + 1)
    _refused(tmp_path / "large.h5", "is 268,435,457 bytes long; up to 268,435,456 are taken")


def _h5_with(honest: Path, path: Path, change: Callable[[Any], object]) -> Path:
    path.write_bytes((honest / "model.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def _replace_kernel(file: Any, **dataset: Any) -> None:
    group = file["model_weights/dense"]
    name = next(name for name in _names(group) if name.endswith("kernel"))
    del group[name]
    group.create_dataset(name, **dataset)


def _names(group: Any) -> list[str]:
    names: list[str] = []
    group.visit(names.append)
    return names


def test_no_number_of_an_hdf5_header_is_too_large_to_be_refused(honest: Path) -> None:
    content = (honest / "model.h5").read_bytes()
    refused = 0
    for at in range(8, 96):
        for number in (2**63 - 1, 2**63, 2**64 - 2, 2**62):
            changed = bytearray(content)
            changed[at : at + 8] = number.to_bytes(8, "little")
            try:
                hdf5.opened(bytes(changed)).close()
            except ModelFileError as error:
                assert str(error) == "refused: not a sound HDF5 file"
                refused += 1
    assert refused > 100


def test_an_hdf5_shape_bomb(honest: Path, tmp_path: Path) -> None:
    path = _h5_with(
        honest, tmp_path / "bomb.h5", lambda file: _replace_kernel(file, shape=(2**20, 2**20), dtype="f4", chunks=True)
    )
    assert path.stat().st_size < 100_000
    _refused(path, "HDF5 shape bomb: .*kernel declares 4,398,046,511,104 bytes and stores 0")


def test_an_hdf5_compression_bomb(honest: Path, tmp_path: Path) -> None:
    zeros = np.zeros((2000, 2000), np.float32)
    path = _h5_with(
        honest, tmp_path / "bomb.h5", lambda file: _replace_kernel(file, data=zeros, compression="gzip", chunks=True)
    )
    _refused(path, "HDF5 shape bomb: .*kernel declares 16,000,000 bytes")


def test_a_shape_bomb_inside_a_keras_file(honest: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(honest / "model.keras") as source, zipfile.ZipFile(tmp_path / "bomb.keras", "w") as target:
        for name in source.namelist():
            content = io.BytesIO(source.read(name))
            if name == "model.weights.h5":
                with h5py.File(content, "r+") as file:
                    file.create_dataset("vars/bomb", shape=(2**20, 2**20), dtype="f4", chunks=True)
            target.writestr(name, content.getvalue())
    _refused(tmp_path / "bomb.keras", "HDF5 shape bomb: /vars/bomb")


@pytest.mark.parametrize("link", [h5py.ExternalLink("/etc/passwd", "/"), h5py.SoftLink("/model_weights")])
def test_an_hdf5_link_to_somewhere_else(link: Any, honest: Path, tmp_path: Path) -> None:
    def change(file: Any) -> None:
        file["model_weights/other"] = link

    _refused(_h5_with(honest, tmp_path / "link.h5", change), "links to another place or file")


def test_an_hdf5_dataset_stored_in_another_file(honest: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(bytes(784 * 10 * 4))
    path = _h5_with(
        honest,
        tmp_path / "external.h5",
        lambda file: _replace_kernel(file, shape=(784, 10), dtype="f4", external=[(str(outside), 0, 31360)]),
    )
    _refused(path, "is not a plain array")


def test_an_hdf5_group_that_contains_itself(honest: Path, tmp_path: Path) -> None:
    def change(file: Any) -> None:
        file["model_weights/loop"] = file["model_weights"]

    _refused(_h5_with(honest, tmp_path / "loop.h5", change), "too many objects")


def test_an_h5_file_without_a_configuration(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file["kernel"] = np.zeros(3)
    _refused(tmp_path / "weights.h5", "holds no model configuration, perhaps only weights")


def _tensorflow_program(folder: Path, function: Callable[[Any], Any]) -> Path:
    import tensorflow as tf

    module = tf.Module()
    signature = tf.function(function, input_signature=[tf.TensorSpec([None, 784], tf.float32)])
    with backend.quiet():
        tf.saved_model.save(module, str(folder), signatures=signature.get_concrete_function())
    return folder


def _reads_a_file(images: Any, evidence: Path) -> Any:
    import tensorflow as tf

    size = tf.strings.length(tf.io.read_file(str(evidence)))
    return tf.nn.softmax(images[:, :10] + tf.cast(size, tf.float32))


def _writes_a_file(images: Any, evidence: Path) -> Any:
    import tensorflow as tf

    with tf.control_dependencies([tf.io.write_file(str(evidence), "written")]):
        return tf.nn.softmax(images[:, :10])


def _calls_python(images: Any, evidence: Path) -> Any:
    import tensorflow as tf

    def leave_evidence(pixels: np.ndarray) -> np.ndarray:
        evidence.touch()
        return pixels[:, :10]

    return tf.numpy_function(leave_evidence, [images], tf.float32)


@pytest.mark.parametrize(
    ("program", "operation"),
    [(_reads_a_file, "ReadFile"), (_writes_a_file, "WriteFile"), (_calls_python, "PyFunc")],
)
def test_a_saved_model_that_touches_files_or_python(
    program: Callable[[Any, Path], Any], operation: str, tmp_path: Path
) -> None:
    evidence = tmp_path / "evidence"
    folder = _tensorflow_program(tmp_path / "saved", lambda images: {"output": program(images, evidence)})
    _refused(folder, f"the operation {operation} is not among those taken")
    assert not evidence.exists()


def test_a_saved_model_with_more_files_than_it_needs(honest: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(honest / "saved_model", tmp_path / "more"))
    (folder / "assets").mkdir(exist_ok=True)
    (folder / "assets/evil.py").write_text("")
    _refused(folder, "the SavedModel holds evil.py, which no plain model needs")


def test_a_saved_model_with_a_link_out_of_its_folder(honest: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(honest / "saved_model", tmp_path / "link"))
    (folder / "fingerprint.pb").unlink(missing_ok=True)
    (folder / "fingerprint.pb").symlink_to("/etc/passwd")
    _refused(folder, "the SavedModel holds fingerprint.pb")


@pytest.mark.parametrize("file", ["saved_model.pb", "variables/variables.index"])
def test_a_damaged_saved_model(file: str, honest: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(honest / "saved_model", tmp_path / "damaged"))
    (folder / file).write_bytes(b"\xff" * 40)
    _refused(folder, "refused: |signatures")


def _change_graph(honest: Path, folder: Path, change: Callable[[Any], object]) -> Path:
    """The honest SavedModel with its protocol buffer changed."""
    from tensorflow.core.protobuf import saved_model_pb2

    shutil.copytree(honest / "saved_model", folder)
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    change(saved.meta_graphs[0].graph_def.library)
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString())
    return folder


def test_a_saved_model_with_a_constant_of_one_value_and_a_trillion_elements(honest: Path, tmp_path: Path) -> None:
    def change(library: Any) -> None:
        for function in library.function:
            for node in function.node_def:
                if node.op == "BiasAdd":
                    bomb = function.node_def.add(name="bomb", op="Const")
                    bomb.attr["value"].tensor.dtype = 1
                    bomb.attr["value"].tensor.float_val.append(1.0)
                    for _ in range(2):
                        bomb.attr["value"].tensor.tensor_shape.dim.add(size=10**6)
                    node.input[1] = "bomb:output:0"

    _refused(_change_graph(honest, tmp_path / "bomb", change), "constants have more than 10,000,000 elements")


def test_a_saved_model_whose_calls_multiply(honest: Path, tmp_path: Path) -> None:
    """Fifteen functions, each of which calls the next one four times: a billion operations."""

    def change(library: Any) -> None:
        inner = next(function for function in library.function if any(n.op == "MatMul" for n in function.node_def))
        matmul = next(node for node in inner.node_def if node.op == "MatMul")
        for level in range(15):
            function = library.function.add()
            function.signature.name = f"level_{level}"
            function.signature.input_arg.add(name="x", type=1)
            function.signature.output_arg.add(name="y", type=1)
            previous = "x"
            for call in range(4):
                node = function.node_def.add(name=f"call_{call}", op="PartitionedCall", input=[previous])
                node.attr["f"].func.name = f"level_{level + 1}"
                if level == 14:
                    node.op = "Identity"
                previous = f"call_{call}:output:0"
            function.ret["y"] = previous
        bomb = inner.node_def.add(name="bomb", op="PartitionedCall", input=[matmul.input[0]])
        bomb.attr["f"].func.name = "level_0"
        matmul.input[0] = "bomb:output:0"

    _refused(_change_graph(honest, tmp_path / "bomb", change), "unfolds to more than 5,000 operations")


def test_a_saved_model_whose_graph_makes_no_sense(honest: Path, tmp_path: Path) -> None:
    def change(library: Any) -> None:
        for function in library.function:
            for node in function.node_def:
                node.input[:] = [f"missing_{reference}" for reference in node.input]

    _refused(_change_graph(honest, tmp_path / "senseless", change), "the SavedModel's graph is damaged")


def _nest(config: Config, compile_config: Config) -> None:
    """Puts a model with a `compile_config` inside the model."""
    inner = json.loads(json.dumps(config))
    inner["compile_config"] = compile_config
    config["config"]["layers"].append(inner)


def test_a_nested_compile_config_does_not_reach_keras(honest: Path, tmp_path: Path) -> None:
    path = _keras_file(honest, tmp_path / "nested.keras", lambda config: _nest(config, {"loss": "stranger"}))
    copy = files.private_copy(path.read_bytes(), ".keras")
    assert b"stranger" in path.read_bytes()
    assert "compile_config" not in zipfile.ZipFile(io.BytesIO(copy)).read("config.json").decode()


@pytest.mark.parametrize(
    "filters",
    [{"compression": "gzip"}, {"compression": "gzip", "shuffle": True, "fletcher32": True}, {"compression": "lzf"}],
    ids=["gzip", "gzip-shuffle-fletcher32", "lzf"],
)
def test_an_honest_compressed_hdf5_file_is_taken(filters: Config, honest: Path, tmp_path: Path) -> None:
    kernel = np.random.default_rng(0).normal(size=(784, 10)).astype(np.float32)
    path = _h5_with(honest, tmp_path / "packed.h5", lambda file: _replace_kernel(file, data=kernel, **filters))
    np.testing.assert_array_equal(loading.load(path).get_weights()[0], kernel)


@pytest.mark.parametrize(("code", "filters"), [(4, {"compression": "szip"}), (6, {"scaleoffset": 3})])
def test_an_hdf5_filter_that_is_not_on_the_list(code: int, filters: Config, honest: Path, tmp_path: Path) -> None:
    packed = {"shape": (784, 10), "dtype": "f4", "chunks": (784, 10)} | filters
    path = _h5_with(honest, tmp_path / "packed.h5", lambda file: _replace_kernel(file, **packed))
    _refused(path, rf"stored with the HDF5 filter \[{code}\]; gzip and lzf are taken")


def _kernel_in_one_chunk(file: Any, chunk: tuple[int, int], packed: bytes) -> None:
    _replace_kernel(file, shape=(784, 10), dtype="f4", chunks=chunk, maxshape=(None, None), compression="gzip")
    group = file["model_weights/dense"]
    name = next(name for name in _names(group) if name.endswith("kernel"))
    group[name].id.write_direct_chunk((0, 0), packed)


@pytest.mark.parametrize("chunk", [(2**14, 2**12), (784, 10)], ids=["declared", "not declared"])
def test_an_hdf5_chunk_that_unpacks_to_more_than_its_array(
    chunk: tuple[int, int], honest: Path, tmp_path: Path
) -> None:
    packed = zlib.compress(bytes(10 * 2**20))
    path = _h5_with(honest, tmp_path / "chunk.h5", lambda file: _kernel_in_one_chunk(file, chunk, packed))
    _refused(path, "HDF5 chunk bomb: .*kernel declares 31,360 bytes, and one of its chunks unpacks to more")


def test_hdf5_strings_that_take_too_much_memory(honest: Path, tmp_path: Path) -> None:
    def change(file: Any) -> None:
        names = np.array(["dense" * 10_000] * 400, object)
        file["model_weights"].attrs.create("names", names, dtype=h5py.string_dtype())

    _refused(_h5_with(honest, tmp_path / "strings.h5", change), "HDF5 string bomb: attributes take 20,")


def test_an_error_message_quotes_only_the_start_of_a_long_name(write: Write) -> None:
    path = write(lambda config: _add_layer(config, {"class_name": "x" * 100_000, "config": {}}))
    with pytest.raises(ModelFileError) as refusal:
        loading.load(path)
    assert len(str(refusal.value)) < 400


def test_a_model_that_computes_in_mixed_float16(write: Write) -> None:
    policy = {"class_name": "DTypePolicy", "module": "keras", "config": {"name": "mixed_float16"}}

    def change(config: Config) -> None:
        config["config"]["layers"][1]["config"]["dtype"] = policy

    _refused(write(change), "computes in 'mixed_float16'; set its dtype policy to 'float32'")


def test_a_huge_layer_inside_a_nested_model(tmp_path: Path) -> None:
    import keras

    inner = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.ZeroPadding2D(1), keras.layers.Cropping2D(1)])
    layers = [keras.Input((28, 28, 1)), inner, keras.layers.Flatten(), keras.layers.Dense(10)]
    keras.Sequential(layers).save(tmp_path / "small.keras")

    def change(config: Config) -> None:
        padding, cropping = config["config"]["layers"][1]["config"]["layers"][1:3]
        padding["config"]["padding"] = cropping["config"]["cropping"] = [[20_000, 20_000], [20_000, 20_000]]

    (tmp_path / "small.keras").rename(tmp_path / "model.keras")
    _refused(_keras_file(tmp_path, tmp_path / "huge.keras", change), "layers of up to 1,602,240,784 values an image")


def test_saved_model_constants_that_multiply(honest: Path, tmp_path: Path) -> None:
    def change(library: Any) -> None:
        for function in library.function:
            for node in [node for node in function.node_def if node.op == "BiasAdd"]:
                for name, shape in (("row", (1, 30_000)), ("column", (30_000, 1))):
                    constant = function.node_def.add(name=name, op="Const")
                    constant.attr["value"].tensor.dtype = 1
                    constant.attr["value"].tensor.float_val.append(1.0)
                    for size in shape:
                        constant.attr["value"].tensor.tensor_shape.dim.add(size=size)
                function.node_def.add(name="bomb", op="Mul", input=["row:output:0", "column:output:0"])
                node.input[1] = "bomb:z:0"

    _refused(_change_graph(honest, tmp_path / "bomb", change), "constants have more than 10,000,000 elements")


def test_a_saved_model_whose_objects_have_too_many_paths(honest: Path, tmp_path: Path) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    folder = Path(shutil.copytree(honest / "saved_model", tmp_path / "paths"))
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    nodes = saved.meta_graphs[0].object_graph_def.nodes
    first = len(nodes)
    for _ in range(200):
        nodes.add()
    for parent in [0, *range(first, first + 200)]:
        for child in range(first, first + 200):
            nodes[parent].children.add(node_id=child, local_name=f"to_{child}")
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString())
    _refused(folder, "the SavedModel's objects have more than 100,000 paths")


def test_a_layer_that_computes_while_it_is_built_cannot_take_the_memory(write: Write) -> None:
    """Keras spreads a given mean over the layer's shape before anybody can ask how large the layer is."""

    def change(config: Config) -> None:
        layers: Config = {
            "Reshape": {"target_shape": [1, 10, 1]},
            "ZeroPadding2D": {"padding": 20_000},
            "Normalization": {"axis": [1, 2], "mean": 0.0, "variance": 1.0},
        }
        for name, keys in layers.items():
            _add_layer(config, {"class_name": name, "module": "keras.layers", "config": {"name": name, **keys}})

    path = write(change)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _refused(path, "takes more than 2,048 MiB of memory")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024  # KiB


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_packed_by_a_method_that_unpacks_without_bounds(method: int, honest: Path, tmp_path: Path) -> None:
    path = tmp_path / "packed.keras"
    with zipfile.ZipFile(honest / "model.keras") as source, zipfile.ZipFile(path, "w", method) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    _refused(path, "is packed by another method than deflate")


def test_a_zip_whose_packed_bytes_are_damaged(honest: Path, tmp_path: Path) -> None:
    path = tmp_path / "damaged.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", zipfile.ZipFile(honest / "model.keras").read("config.json"))
        archive.writestr("model.weights.h5", bytes(1000))
    content = path.read_bytes()
    begin = content.index(b"config.json") + len("config.json")
    path.write_bytes(content[:begin] + b"\xff" * 20 + content[begin + 20 :])
    _refused(path, "refused: not a sound .keras file")


def test_an_h5_file_with_a_version_that_is_many_strings(honest: Path, tmp_path: Path) -> None:
    def change(file: Any) -> None:
        file.attrs.create("keras_version", np.array(["3.0"] * 1000, object), dtype=h5py.string_dtype())

    _refused(_h5_with(honest, tmp_path / "versions.h5", change), "keras_version is not one string")


def test_the_training_state_never_reaches_keras(honest: Path, tmp_path: Path) -> None:
    def change(file: Any) -> None:
        file.attrs["training_config"] = json.dumps({"loss": "stranger"})

    content = _h5_with(honest, tmp_path / "compiled.h5", change).read_bytes()
    copy = io.BytesIO(files.private_copy(content, ".h5"))
    with h5py.File(copy) as file:
        assert set(file.attrs) & {"model_config", "training_config"} == {"model_config"}


@pytest.mark.timeout(60)
def test_a_pipe_in_the_place_of_a_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.h5")
    _refused(tmp_path / "model.h5", "model.h5 is not a regular file")


def test_a_saved_model_with_a_pipe_among_its_files(honest: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(honest / "saved_model", tmp_path / "pipe"))
    os.mkfifo(folder / "variables/variables.data-00001-of-00002")
    _refused(folder, "the SavedModel holds variables.data-00001-of-00002, which no plain model needs")


def test_a_saved_model_of_very_many_files(honest: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(honest / "saved_model", tmp_path / "many"))
    for number in range(limits.MAX_FILES):
        (folder / f"variables/variables.data-{number}").touch()
    _refused(folder, "the SavedModel holds more than 1,000 files")
