"""A SavedModel, rebuilt from Keras layers without running any part of it.

A SavedModel is a TensorFlow program, and a program can read and write files. So its graph is read as data. Each
operation of the serving signature is translated to the Keras layer that does the same, with the weights of the
checkpoint. An operation without a translation is refused. The formats are TensorFlow's protocol buffers
`saved_model.proto`, `saved_object_graph.proto` and `function.proto`.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits_training.errors import ModelFileError
from digits_training.importing.operations import TRANSLATIONS
from digits_training.untrusted.limits import MAX_BYTES, MAX_FILES

_SIGNATURE = "serving_default"
_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
_OTHERS = _CALLS | {"Const", "NoOp"}
_FILES = {"saved_model.pb", "fingerprint.pb", "keras_metadata.pb", "variables.index"}
MAX_CALL_DEPTH = 16
MAX_OPERATIONS = 5_000  # of all calls: a function can be called more than once
MAX_CONSTANTS = 10_000_000  # elements
MAX_PATHS = 100_000  # through the graph of objects
_ELEMENTWISE = frozenset({"Add", "AddV2", "BiasAdd", "Sub", "Mul", "RealDiv", "FusedBatchNormV3"})


def rebuild(folder: Path) -> Any:
    """A keras.Model that computes what the SavedModel's serving signature does. Raises ModelFileError."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    check_files(folder)
    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    except DecodeError as error:
        raise ModelFileError("refused: saved_model.pb is damaged") from error
    graphs = [graph for graph in saved.meta_graphs if _SIGNATURE in graph.signature_def]
    if len(graphs) != 1:
        raise ModelFileError(f"the SavedModel has {len(graphs)} signatures named {_SIGNATURE}; expected one")
    try:
        return _Translation(graphs[0], folder / "variables/variables").model()
    except (KeyError, IndexError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ModelFileError(f"refused: the SavedModel's graph is damaged ({type(error).__name__})") from error


def check_files(folder: Path) -> None:
    """Raises ModelFileError if the folder is too large or has files that a plain SavedModel does not have."""
    total = 0
    for count, path in enumerate(folder.rglob("*")):
        if count >= MAX_FILES:
            raise ModelFileError(f"refused: the SavedModel has more than {MAX_FILES:,} files")
        known = path.is_dir() or (path.is_file() and (path.name in _FILES or path.name.startswith("variables.data-")))
        if path.is_symlink() or not known:
            raise ModelFileError(f"refused: the SavedModel has {path.name}, which no plain model needs")
        total += path.stat().st_size if path.is_file() else 0
    if total > MAX_BYTES:
        raise ModelFileError(f"refused: the SavedModel is {total:,} bytes large; at most {MAX_BYTES:,} are allowed")
    if not (folder / "saved_model.pb").is_file():
        raise ModelFileError(f"{folder.name} is not a SavedModel: it has no saved_model.pb")


class _Translation:
    """Translates one serving signature from operations to layers."""

    def __init__(self, graph: Any, checkpoint: Path) -> None:
        import tensorflow as tf

        self._signature = graph.signature_def[_SIGNATURE]
        self._functions = {function.signature.name: function for function in graph.graph_def.library.function}
        self._objects = graph.object_graph_def
        self._operations = 0
        self._keys: dict[int, str] = {}
        self._constants = 0  # elements
        self._nodes = {node.name: node for node in graph.graph_def.node}
        try:
            self._checkpoint = tf.train.load_checkpoint(str(checkpoint))
            self._stored = self._checkpoint.get_variable_to_shape_map()
        except (ValueError, tf.errors.OpError) as error:
            raise ModelFileError("refused: the SavedModel's variables are missing or damaged") from error

    def model(self) -> Any:
        import keras

        (given,) = _one(self._signature.inputs.values(), "input")
        (returned,) = _one(self._signature.outputs.values(), "output")
        shape = [dim.size for dim in given.tensor_shape.dim]
        inputs = keras.Input(shape[1:], dtype="float32")
        call = self._nodes[returned.name.split(":")[0]]
        if call.op not in _CALLS:
            raise ModelFileError(f"refused: the signature ends in the operation {call.op}")
        name = call.attr["f"].func.name
        self._keys = self._find_keys()
        captured = [self._variable(node) for node in self._objects.concrete_functions[name].bound_inputs]
        outputs = self._call(name, [inputs, *captured], depth=0)
        return keras.Model(inputs, outputs[int(returned.name.split(":")[1])])

    def _variable(self, node: int) -> NDArray[Any]:
        """The stored value of an object of the graph."""
        if node not in self._keys:
            raise ModelFileError("refused: the SavedModel captures something that is not a stored variable")
        key = self._keys[node]
        if np.prod(self._stored[key], dtype=float) * 4 > MAX_BYTES:
            raise ModelFileError(f"refused: a variable of shape {self._stored[key]}")
        return np.asarray(self._checkpoint.get_tensor(key))

    def _find_keys(self) -> dict[int, str]:
        """The checkpoint's key of each stored variable: its path from the root of the object graph."""
        keys: dict[int, str] = {}
        waiting, seen = deque([(0, "")]), set()
        while waiting:
            current, path = waiting.popleft()
            key = f"{path}.ATTRIBUTES/VARIABLE_VALUE"
            if key in self._stored:
                keys.setdefault(current, key)
            for child in self._objects.nodes[current].children:
                if (child.node_id, path) not in seen and path.count("/") < 4:
                    seen.add((child.node_id, path))
                    waiting.append((child.node_id, f"{path}{child.local_name.replace('/', '.S')}/"))
            if len(seen) > MAX_PATHS:
                raise ModelFileError(f"refused: the SavedModel's objects have more than {MAX_PATHS:,} paths")
        return keys

    def _call(self, name: str, arguments: list[Any], depth: int) -> list[Any]:
        """The outputs of a function of the graph."""
        if name not in self._functions or depth > MAX_CALL_DEPTH:
            raise ModelFileError(f"refused: the graph calls the function {name!r}")
        function = self._functions[name]
        unknown = sorted({node.op for node in function.node_def} - TRANSLATIONS.keys() - _OTHERS)
        if any("Random" in operation for operation in unknown):
            raise ModelFileError(
                "refused: the graph distorts images at random, as Keras 3 exports augmentation layers: "
                "save the model as a .keras file, which can be imported"
            )
        if unknown:
            raise ModelFileError(f"refused: the operation {unknown[0]} is not among those that can be imported")
        nodes = {node.name: node for node in function.node_def}
        values: dict[str, list[Any]] = {
            argument.name: [value] for argument, value in zip(function.signature.input_arg, arguments, strict=True)
        }

        def value(reference: str) -> Any:
            """The value of `node:output:index`, or of an argument."""
            source, *rest = reference.split(":")
            if source not in values:
                values[source] = self._node(nodes[source], value, depth)
            return values[source][int(rest[-1]) if rest else 0]

        return [value(function.ret[output.name]) for output in function.signature.output_arg]

    def _node(self, node: Any, value: Callable[[str], Any], depth: int) -> list[Any]:
        from tensorflow import make_ndarray

        self._operations += 1
        if self._operations > MAX_OPERATIONS:
            raise ModelFileError(f"refused: the graph unfolds to more than {MAX_OPERATIONS:,} operations")
        arguments = [value(reference) for reference in node.input if not reference.startswith("^")]
        if node.op in _CALLS:
            return self._call(node.attr["f"].func.name, arguments, depth + 1)
        if node.op == "Const":
            tensor = node.attr["value"].tensor
            self._count_constant(dim.size for dim in tensor.tensor_shape.dim)  # one stored value can stand for many
            return [make_ndarray(tensor)]
        if node.op in _ELEMENTWISE:  # a column and a row of constants make a matrix
            shapes = [argument.shape for argument in arguments if isinstance(argument, np.ndarray)]
            self._count_constant(np.broadcast_shapes(*shapes))
        return [TRANSLATIONS[node.op](node, *arguments)]

    def _count_constant(self, shape: Iterable[int]) -> None:
        self._constants += math.prod(shape)
        if self._constants > MAX_CONSTANTS:
            raise ModelFileError(f"refused: the graph's constants have more than {MAX_CONSTANTS:,} elements")


def _one(entries: Any, what: str) -> list[Any]:
    found = list(entries)
    if len(found) != 1:
        raise ModelFileError(f"the SavedModel has {len(found)} {what}s; expected one")
    return found
