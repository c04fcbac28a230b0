"""Random Keras files and SavedModels: good ones with a changed configuration or changed bytes."""

import json
import random
import shutil
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

from digits_training.settings import ACTIVATIONS
from digits_training.untrusted.layers import LAYERS

NUMBERS = (-1, 0, 1, 2, 3, 28, 1000, 2**31, 0.5, 1e30)
WORDS = (*sorted(LAYERS), *ACTIVATIONS, "Lambda", "os.system", "same", "valid", "channels_first", "float16", "")
MOST_CHANGES = 4


def _places(node: Any) -> list[tuple[Any, Any]]:
    """Every place of parsed JSON, as the list or dictionary that has it and its index or key."""
    items = list(node.items()) if isinstance(node, dict) else list(enumerate(node)) if isinstance(node, list) else []
    return [place for key, value in items for place in [(node, key), *_places(value)]]


def _changed_config(text: bytes, chance: random.Random) -> bytes:
    config = json.loads(text)
    for _ in range(chance.randint(1, MOST_CHANGES)):
        places = _places(config)
        if not places:
            break
        node, key = chance.choice(places)
        match chance.randrange(5):
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
        members["config.json"] = _changed_config(members["config.json"], chance)
    if chance.random() < 0.5:
        members["model.weights.h5"] = _changed_bytes(members["model.weights.h5"], chance)
    made = BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return made.getvalue()


def random_saved_model(good: Path, target: Path, seed: int) -> None:
    """Writes the SavedModel folder `good`, changed as `seed` says, to `target`."""
    chance = random.Random(seed)
    shutil.copytree(good, target)
    files = sorted(path for path in target.rglob("*") if path.is_file() and path.stat().st_size)
    for path in chance.sample(files, chance.choice((1, 1, 2))):
        path.write_bytes(_changed_bytes(path.read_bytes(), chance))
