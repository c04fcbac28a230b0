"""Operations of a SavedModel's graph, each built by hand: what its layer computes, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from digits_training.errors import ModelFileError
from digits_training.importing import saved_model
from digits_training.importing.operations import TRANSLATIONS
from digits_training.networks import backend

MAPS = np.arange(2 * 4 * 4 * 3, dtype=np.float32).reshape(2, 4, 4, 3)
KERNEL = np.ones((1, 1, 3, 2), np.float32)


@pytest.fixture(autouse=True)
def _tensorflow() -> None:
    backend.start(seed=0)


def _node(operation: str, **attributes: Any) -> Any:
    """A node of a graph; bytes, bools, floats and lists of integers are its attributes."""
    from tensorflow.core.framework.node_def_pb2 import NodeDef

    node = NodeDef(name="node", op=operation)
    for name, value in attributes.items():
        if isinstance(value, list):
            node.attr[name].list.i.extend(value)
        else:
            setattr(node.attr[name], {bytes: "s", bool: "b", float: "f"}[type(value)], value)
    return node


def _computed(node: Any, images: NDArray[np.float32], *constants: Any) -> NDArray[np.float32]:
    """What the operation's layer makes of the images."""
    import keras

    given = keras.Input(images.shape[1:])
    made = keras.Model(given, TRANSLATIONS[node.op](node, given, *constants))
    return np.asarray(made.predict_on_batch(images))


@pytest.mark.parametrize(("axis", "shape"), [(1, (2, 1, 4)), (2, (2, 4, 1)), (-1, (2, 4, 1)), (-2, (2, 1, 4))])
def test_an_axis_is_added_where_the_graph_adds_it(axis: int, shape: tuple[int, ...]) -> None:
    images = np.arange(8, dtype=np.float32).reshape(2, 4)
    computed = _computed(_node("ExpandDims"), images, np.int32(axis))
    assert computed.shape == shape
    assert computed.ravel().tolist() == images.ravel().tolist()
    assert TRANSLATIONS["ExpandDims"](_node("ExpandDims"), np.zeros(3), np.int32(0)).shape == (1, 3)


def test_an_axis_of_length_one_is_removed() -> None:
    images = MAPS.reshape(2, 16, 1, 3)
    assert np.array_equal(_computed(_node("Squeeze", squeeze_dims=[2]), images), MAPS.reshape(2, 16, 3))


def test_a_division_is_a_scale() -> None:
    assert np.allclose(_computed(_node("RealDiv"), MAPS, np.array(4.0)), MAPS / 4)
    assert TRANSLATIONS["RealDiv"](_node("RealDiv"), np.array(6), np.array(2)) == 3


def test_a_batch_normalization_is_an_affine_function_of_each_channel() -> None:
    scale, offset, mean, variance = (np.array([1, 2, 3], np.float32) + shift for shift in range(4))
    expected = (MAPS - mean) / np.sqrt(variance + 0.5) * scale + offset
    node = _node("FusedBatchNormV3", epsilon=0.5)
    assert np.allclose(_computed(node, MAPS, scale, offset, mean, variance), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("node", "constants", "sentence"),
    [
        (("StridedSlice", {}), ([0], [1], [1]), "the operation StridedSlice on an array"),
        (("AddV2", {}), (np.ones(2),), "adds or multiplies an array that does not have one value per channel"),
        (("MatMul", {"transpose_a": True}), (KERNEL,), "MatMul on values that are not features and weights"),
        (("Mean", {}), (np.array([1, 3]),), "Mean over axes that are not height and width"),
        (("Fill", {}), (1,), "the graph computes with the operation Fill"),
        (("ConcatV2", {}), (MAPS, 3), "the operation ConcatV2 on constants"),
        (("Conv2D", {"data_format": b"NCHW"}), (KERNEL,), "images with their channels first"),
        (("MaxPool", {"padding": b"EXPLICIT"}), (), "the padding 'explicit'"),
    ],
)
def test_what_has_no_layer_is_refused(
    node: tuple[str, dict[str, Any]], constants: tuple[Any, ...], sentence: str
) -> None:
    with pytest.raises(ModelFileError, match=f"refused: .*{sentence}"):
        _computed(_node(node[0], **node[1]), MAPS, *constants)


def test_a_division_by_the_image_is_refused() -> None:
    import keras

    with pytest.raises(ModelFileError, match="the graph divides by a value that depends on the image"):
        TRANSLATIONS["RealDiv"](_node("RealDiv"), np.array(1), keras.Input((4,)))


def test_a_saved_model_without_a_signature_to_serve_is_refused(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(ModelFileError, match="the SavedModel has 0 signatures named serving_default; expected one"):
        saved_model.rebuild(tmp_path)


class _Checkpoint:
    """Stands for a checkpoint of one large and one small variable."""

    def get_variable_to_shape_map(self) -> dict[str, list[int]]:
        return {"large/.ATTRIBUTES/VARIABLE_VALUE": [2**15, 2**15], "small/.ATTRIBUTES/VARIABLE_VALUE": [1]}

    def get_tensor(self, _key: str) -> NDArray[np.float32]:
        return np.zeros(1, np.float32)


def _translation(monkeypatch: pytest.MonkeyPatch, operation: str, *, inputs: int = 1, captured: str = "small") -> Any:
    """The translation of a graph whose signature ends in a call of the function `missing`, or in another operation."""
    import tensorflow as tf
    from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef

    monkeypatch.setattr(tf.train, "load_checkpoint", lambda _path: _Checkpoint())
    graph = MetaGraphDef()
    signature = graph.signature_def["serving_default"]
    for index in range(inputs):
        signature.inputs[f"input_{index}"].tensor_shape.dim.add(size=-1)
    signature.outputs["output"].name = "call:0"
    call = graph.graph_def.node.add(name="call", op=operation)
    call.attr["f"].func.name = "missing"
    root, _ = (graph.object_graph_def.nodes.add() for _ in range(2))
    root.children.add(node_id=1, local_name=captured)
    graph.object_graph_def.concrete_functions["missing"].bound_inputs.append(1)
    return saved_model._Translation(graph, Path("variables"))


@pytest.mark.parametrize(
    ("operation", "changed", "sentence"),
    [
        ("NoOp", {}, "the signature ends in the operation NoOp"),
        ("PartitionedCall", {}, "the graph calls the function 'missing'"),
        ("PartitionedCall", {"captured": "unknown"}, "captures something that is not a stored variable"),
        ("PartitionedCall", {"captured": "large"}, r"refused: a variable of shape \[32768, 32768\]"),
        ("PartitionedCall", {"inputs": 2}, "the SavedModel has 2 inputs; expected one"),
    ],
)
def test_a_graph_that_is_not_one_function_of_stored_variables_is_refused(
    operation: str, changed: dict[str, Any], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelFileError, match=sentence):
        _translation(monkeypatch, operation, **changed).model()
