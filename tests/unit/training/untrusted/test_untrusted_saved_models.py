"""Attacks: a SavedModel that would run a program, read files or exhaust memory is refused before it is built."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.training.untrusted_files import refused

from digits_training.networks import backend
from digits_training.untrusted import limits


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
    refused(folder, f"the operation {operation} is not among those that can be imported")
    assert not evidence.exists()


def test_a_saved_model_with_more_files_than_it_needs(honest: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(honest / "saved_model", tmp_path / "more"))
    (folder / "assets").mkdir(exist_ok=True)
    (folder / "assets/evil.py").write_text("")
    refused(folder, "the SavedModel has evil.py, which no plain model needs")


def test_a_saved_model_with_a_link_out_of_its_folder(honest: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(honest / "saved_model", tmp_path / "link"))
    (folder / "fingerprint.pb").unlink(missing_ok=True)
    (folder / "fingerprint.pb").symlink_to("/etc/passwd")
    refused(folder, "the SavedModel has fingerprint.pb")


@pytest.mark.parametrize("file", ["saved_model.pb", "variables/variables.index"])
def test_a_damaged_saved_model(file: str, honest: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(honest / "saved_model", tmp_path / "damaged"))
    (folder / file).write_bytes(b"\xff" * 40)
    refused(folder, "refused: |signatures")


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

    refused(_change_graph(honest, tmp_path / "bomb", change), "constants have more than 10,000,000 elements")


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

    refused(_change_graph(honest, tmp_path / "bomb", change), "unfolds to more than 5,000 operations")


def test_a_saved_model_whose_graph_makes_no_sense(honest: Path, tmp_path: Path) -> None:
    def change(library: Any) -> None:
        for function in library.function:
            for node in function.node_def:
                node.input[:] = [f"missing_{reference}" for reference in node.input]

    refused(_change_graph(honest, tmp_path / "senseless", change), "the SavedModel's graph is damaged")


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

    refused(_change_graph(honest, tmp_path / "bomb", change), "constants have more than 10,000,000 elements")


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
    refused(folder, "the SavedModel's objects have more than 100,000 paths")


def test_a_saved_model_with_a_pipe_among_its_files(honest: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(honest / "saved_model", tmp_path / "pipe"))
    os.mkfifo(folder / "variables/variables.data-00001-of-00002")
    refused(folder, "the SavedModel has variables.data-00001-of-00002, which no plain model needs")


def test_a_saved_model_of_very_many_files(honest: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(honest / "saved_model", tmp_path / "many"))
    for number in range(limits.MAX_FILES):
        (folder / f"variables/variables.data-{number}").touch()
    refused(folder, "the SavedModel has more than 1,000 files")
