"""Random Keras files and SavedModels: good ones with a changed configuration or changed bytes."""

import json
import random
import shutil
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py

from digits_training.settings import ACTIVATIONS
from digits_training.untrusted.layers import LAYERS

NUMBERS = (-1, 0, 1, 2, 3, 28, 1000, 2**31, 0.5, 1e30)
WORDS = (
    *(*sorted(LAYERS), *ACTIVATIONS, "Lambda", "os.system", "same", "valid", "channels_first", "float16", ""),
    *(
        "int8_from_float32",
        "mixed_float16",
        "string",
        "deserialize",
        "get",
        "eval",
        "evil>Dense",
        "builtins",
        "keras.utils",
    ),
)
KEYS = (  # values that some `from_config`, `build_from_config` or decoder of Keras reads
    *("class_name", "config", "module", "registered_name", "name", "spec_name", "type_spec", "serialized", "items"),
    *("shared_object_id", "build_config", "compile_config", "build_input_shape", "__passive_serialization__"),
    *("layers", "inbound_nodes", "input_layers", "output_layers", "args", "kwargs", "keras_history", "training"),
    *("dtype", "trainable", "batch_shape", "batch_input_shape", "input_shape", "input_dim", "input_tensor", "sparse"),
    *("activation", "kernel_initializer", "bias_regularizer", "gamma_constraint", "activity_regularizer", "seed"),
    *("units", "axis", "scale", "offset", "mean", "variance", "padding", "groups", "renorm", "lora_rank", "lora_alpha"),
    *(
        "quantization_config",
        "autocast",
        "noise_shape",
        "function",
        "layer",
        "weights",
        "vocabulary",
        "filepath",
        "value",
    ),
)
OBJECTS: tuple[Any, ...] = (  # values that Keras makes into an object, calls, or opens
    {"class_name": "Lambda", "module": "keras.layers", "config": {"function": "gAAA", "name": "l"}},
    {"class_name": "__lambda__", "config": {"value": "gAAA"}},
    {"class_name": "__lambda__", "module": "builtins", "config": {"value": ["gAAA", None, None]}},
    {"class_name": "MeanIoU", "module": "keras.metrics", "config": {"num_classes": 200_000}},
    {"class_name": "function", "module": "builtins", "config": "eval", "registered_name": "eval"},
    {"class_name": "function", "module": "keras.utils", "config": "get_file", "registered_name": "get_file"},
    {"class_name": "__typespec__", "module": "os", "spec_name": "system", "config": [], "registered_name": None},
    {"class_name": "TypeSpec", "type_spec": "tf.TensorSpec", "serialized": [1]},
    {"class_name": "CompositeTensor", "spec": "x", "tensors": [["float32", [1]]]},
    {"class_name": "__tensor__", "config": {"value": [[1] * 9] * 9, "dtype": "float32"}},
    {"class_name": "__numpy__", "config": {"value": [1], "dtype": "object"}},
    {"class_name": "__keras_tensor__", "config": {"shape": [10**9], "dtype": "float32", "keras_history": ["i", 0, 0]}},
    {"class_name": "__slice__", "config": {"start": 0, "stop": 10**9, "step": 1}},
    {"class_name": "TFSMLayer", "module": "keras.layers", "config": {"filepath": "/etc"}},
    {"class_name": "StringLookup", "module": "keras.layers", "config": {"vocabulary": "/etc/passwd"}},
    {"class_name": "TimeDistributed", "module": "keras.layers", "config": {"layer": {"class_name": "Lambda"}}},
    {"class_name": "Popen", "module": "subprocess", "config": {"args": ["true"]}},
    {"class_name": "Int8QuantizationConfig", "module": "keras.quantizers", "config": {}},
    {"class_name": "Orthogonal", "module": "keras.initializers", "config": {"gain": 1.0}},
    {"input_shape": [None, 30_000]},
    {"loss": "stranger", "optimizer": {"class_name": "Loss", "module": "keras.losses", "config": {}}},
)
MOST_CHANGES = 4


def _places(node: Any) -> list[tuple[Any, Any]]:
    """Every place of parsed JSON, as the list or dictionary that has it and its index or key."""
    items = list(node.items()) if isinstance(node, dict) else list(enumerate(node)) if isinstance(node, list) else []
    return [place for key, value in items for place in [(node, key), *_places(value)]]


def changed_config(text: bytes | str, chance: random.Random) -> bytes:
    """The JSON of a model's configuration, changed at a few places."""
    config = json.loads(text)
    for _ in range(chance.randint(1, MOST_CHANGES)):
        places = _places(config)
        if not places:
            break
        node, key = chance.choice(places)
        match chance.randrange(7):
            case 0:
                node[key] = chance.choice(NUMBERS)
            case 1:
                node[key] = chance.choice(WORDS)
            case 2:
                del node[key]
            case 3:
                other, name = chance.choice(places)
                node[key] = json.loads(json.dumps(other[name])) if name in other or isinstance(other, list) else None
            case 4 if isinstance(node, list):
                node.insert(key, json.loads(json.dumps(node[key])))
            case 4 | 5 if isinstance(node, dict):
                node[chance.choice(KEYS)] = json.loads(json.dumps(chance.choice((*OBJECTS, *WORDS, *NUMBERS))))
            case 6:
                node[key] = json.loads(json.dumps(chance.choice(OBJECTS)))
    return json.dumps(config).encode()


def _changed_bytes(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 2, 4, 16))):
        place = chance.randrange(min(len(changed), chance.choice((600, 5000, len(changed)))))
        changed[place] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
    return bytes(changed[: chance.randrange(len(changed))] if chance.random() < 0.05 else changed)


def random_keras_file(good: bytes, seed: int) -> bytes:
    """A `.keras` file, `good` changed as `seed` says."""
    chance = random.Random(seed)
    if chance.random() < 0.1:
        return _changed_bytes(good, chance)
    with zipfile.ZipFile(BytesIO(good)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    if chance.random() < 0.7:
        members["config.json"] = changed_config(members["config.json"], chance)
    if chance.random() < 0.5:
        members["model.weights.h5"] = _changed_bytes(members["model.weights.h5"], chance)
    made = BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return made.getvalue()


def random_h5_file(good: bytes, seed: int) -> bytes:
    """A legacy `.h5` file, `good` changed as `seed` says."""
    chance = random.Random(seed)
    if chance.random() < 0.3:
        return _changed_bytes(good, chance)
    made = BytesIO(good)
    with h5py.File(made, "r+") as file:
        file.attrs["model_config"] = changed_config(file.attrs["model_config"], chance).decode()
        if chance.random() < 0.3:
            file.attrs["keras_version"] = chance.choice(("1.2", "2.2.4-tf", "2.15.0", "", "x" * 1000))
    return made.getvalue()


def random_saved_model(good: Path, target: Path, seed: int) -> None:
    """Writes the SavedModel folder `good`, changed as `seed` says, to `target`."""
    chance = random.Random(seed)
    shutil.copytree(good, target)
    files = sorted(path for path in target.rglob("*") if path.is_file() and path.stat().st_size)
    for path in chance.sample(files, chance.choice((1, 1, 2))):
        path.write_bytes(_changed_bytes(path.read_bytes(), chance))
