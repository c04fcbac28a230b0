"""The page for Keras users says what the code does: its lists are the lists of the import, its example trains."""

import re
from pathlib import Path

import numpy as np

from digits_training.data import DataSet
from digits_training.networks import backend
from digits_training.own_network import adapted, source
from digits_training.untrusted.layers import CHANGE_IMAGES, LAYERS, NOTHING_AT_INFERENCE

PAGE = (Path(__file__).parents[3] / "docs/keras-users.md").read_text(encoding="utf-8")


def _listed(name: str) -> list[str]:
    (block,) = re.findall(rf"<!-- {name}: begin -->\n(.*?)<!-- {name}: end -->", PAGE, re.DOTALL)
    return re.findall(r"`(\w+)`", block)


def test_the_layers_of_the_page_are_those_of_the_guard() -> None:
    assert _listed("layers taken") == sorted(LAYERS)
    assert _listed("layers dropped") == sorted(NOTHING_AT_INFERENCE)
    assert f"{', '.join(sorted(CHANGE_IMAGES)[:-1])} and {max(CHANGE_IMAGES)} are refused" in " ".join(PAGE.split())


def test_the_network_of_the_page_is_taken_without_a_warning(small: DataSet, tmp_path: Path) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    (tmp_path / "net.py").write_text(code)
    backend.start(seed=0)
    found = source.read(f"{tmp_path / 'net.py'}:build")
    assert found
    said: list[str] = []
    network = adapted.network_of(found, small.train.take(np.arange(20)), said.append)
    assert network.output_shape == (None, 10)
    assert said == []
