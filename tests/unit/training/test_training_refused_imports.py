"""What an import says of a file that cannot be loaded, of a folder that is no SavedModel, and of other ends."""

import subprocess
import zipfile
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest

from digits_training.conversion import unlike
from digits_training.errors import ModelFileError, ParityError
from digits_training.importing import adapting, loading, saved_model
from digits_training.untrusted import built, configuration, files, hdf5


def _ended(code: int, said: bytes = b"") -> Any:
    return lambda _copy, _name: subprocess.CompletedProcess([], code, b"", said)


def _late(_copy: Path, _name: str) -> Any:
    raise subprocess.TimeoutExpired("load", 120)


@pytest.mark.parametrize(
    ("child", "sentence"),
    [
        (_late, "refused: loading model.h5 took longer than 120 s"),
        (_ended(-9), "refused: the process that loaded model.h5 ended with signal 9"),
        (_ended(1, b"Traceback\nImportError: no keras\n"), r"could not be loaded \(exit code 1\): ImportError: no ker"),
        (_ended(1), r"model.h5 could not be loaded \(exit code 1\): no message"),
    ],
)
def test_a_process_that_does_not_load_the_file_is_told_of(
    child: Any, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "load_in_child", child)
    with h5py.File(tmp_path / "model.h5", "w") as file:
        file.attrs["model_config"] = (
            '{"class_name": "Sequential", "config": {"name": "s", "layers": [{"class_name": "InputLayer", '
            '"config": {"batch_input_shape": [null, 784], "dtype": "float32", "name": "i"}}, '
            '{"class_name": "Softmax", "config": {"name": "p"}}]}}'
        )
    with pytest.raises(ModelFileError, match=sentence):
        loading.load(tmp_path / "model.h5")


@pytest.mark.parametrize(
    ("error", "said"), [(ValueError("no such layer\nat all"), "no such layer"), (KeyError(), "KeyError")]
)
def test_the_first_line_of_what_keras_says_is_passed_on(
    error: Exception, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_config: object) -> None:
        raise error

    monkeypatch.setattr(files, "checked", lambda _content, _suffix: {})
    monkeypatch.setattr(loading, "_probe", refuse)
    (tmp_path / "copy.keras").touch()
    with pytest.raises(ModelFileError, match=rf"^Keras cannot load mine\.keras: {said}$"):
        loading._load_copy(tmp_path / "copy.keras", "mine.keras")


def test_a_model_with_two_inputs_is_refused() -> None:
    with pytest.raises(ModelFileError, match="the model has 2 inputs; expected one"):
        adapting.check_ends(SimpleNamespace(inputs=[1, 2], outputs=[3]))


def test_a_folder_without_a_graph_is_not_a_saved_model(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"is not a SavedModel: it has no saved_model\.pb"):
        saved_model.check_files(tmp_path)


def test_a_saved_model_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_model, "MAX_BYTES", 10)
    (tmp_path / "saved_model.pb").write_bytes(b"." * 11)
    with pytest.raises(ModelFileError, match="the SavedModel is 11 bytes large; at most 10 are allowed"):
        saved_model.check_files(tmp_path)


def test_a_keras_file_without_weights_is_refused() -> None:
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(ModelFileError, match=r"no item named .model\.weights\.h5. in the archive"):
        files.checked(content.getvalue(), ".keras")


def _damaged_hdf5() -> bytes:
    """An HDF5 file that opens, but whose group cannot be read."""
    content = BytesIO()
    with h5py.File(content, "w") as file:
        file.create_dataset("group/array", data=np.zeros(3))
    return content.getvalue().replace(b"TREE", b"ROOT").replace(b"SNOD", b"NONE")


def test_an_hdf5_file_that_is_damaged_behind_its_header_is_refused(tmp_path: Path) -> None:
    with hdf5.opened(_damaged_hdf5()) as file, pytest.raises(ModelFileError, match="the HDF5 file is damaged"):
        hdf5.check(file)
    (tmp_path / "model.h5").write_bytes(_damaged_hdf5())
    with pytest.raises(ModelFileError, match="the HDF5 file's attributes are damaged or too large"):
        hdf5.check_strings(tmp_path / "model.h5")


def test_a_tuple_of_a_configuration_is_a_list_of_numbers() -> None:
    assert configuration._plain({"class_name": "__tuple__", "items": [28, None]}) == [28, None]


def test_copied_weights_take_effect_in_a_layer_that_computes_with_a_copy() -> None:
    finished: list[str] = []
    layer = SimpleNamespace(finalize_state=lambda: finished.append("layer"))
    model = SimpleNamespace(layers=[layer], get_weights=list, set_weights=lambda _weights: finished.append("weights"))
    built.copy_weights(model, model)
    assert finished == ["weights", "layer"]


@pytest.mark.parametrize("converted", [0.0, np.nan])
def test_distances_that_litert_computes_otherwise_are_refused(converted: float) -> None:
    with pytest.raises(ParityError, match=r"unlike\.tflite differs from the Keras model: distances differ by up to"):
        unlike._prove_parity(np.ones((2, 10), np.float32), np.full((2, 10), converted, np.float32))
