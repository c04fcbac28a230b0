"""Model files and HDF5 files at the exact bounds of what is taken, checked without starting TensorFlow."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from digits_training.errors import ModelFileError
from digits_training.untrusted import files, hdf5
from digits_training.untrusted.limits import MAX_GROUP_DEPTH, MAX_REASON, require

CONFIG: dict[str, Any] = {
    "class_name": "Sequential",
    "config": {
        "name": "s",
        "layers": [
            {"class_name": "InputLayer", "config": {"name": "i", "batch_shape": [None, 784]}},
            {"class_name": "Dense", "config": {"name": "d", "units": 10, "kernel_initializer": "zeros"}},
        ],
    },
}


def h5(change: Any = None, **attributes: Any) -> bytes:
    """An HDF5 file with one array of 784 × 10 float32, changed by `change`."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file["layers/d/kernel"] = np.zeros((784, 10), np.float32)
        for name, value in attributes.items():
            file.attrs[name] = value
        if change:
            change(file)
    return content.getvalue()


def keras_file(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return content.getvalue()


def members(**others: bytes) -> dict[str, bytes]:
    return {"config.json": json.dumps(CONFIG).encode(), "model.weights.h5": h5()} | others


def checked(change: Any) -> None:
    with hdf5.opened(h5(change)) as file:
        hdf5.check(file)


def refusal(change: Any) -> str:
    with pytest.raises(ModelFileError) as caught:
        checked(change)
    return str(caught.value)


def test_a_good_file_of_either_form_gives_its_configuration_and_a_copy_without_the_rest() -> None:
    whole = keras_file(members() | {"metadata.json": b'{"keras_version": "3.1.0"}'}, zipfile.ZIP_DEFLATED)
    config = files.checked(whole, ".keras")
    assert [layer["config"] for layer in config["config"]["layers"]] == [
        {"name": "i", "batch_shape": [None, 784]},
        {"name": "d", "units": 10},
    ]
    with zipfile.ZipFile(io.BytesIO(files.private_copy(whole, ".keras"))) as copy:
        assert copy.namelist() == ["config.json", "model.weights.h5"]
        assert json.loads(copy.read("config.json")) == config
        assert copy.read("model.weights.h5") == members()["model.weights.h5"]
    old = h5(model_config=json.dumps(CONFIG), training_config="a secret", keras_version="3.0")
    assert files.checked(old, ".h5") == config
    with h5py.File(io.BytesIO(files.private_copy(old, ".h5"))) as file:
        assert dict(file.attrs) == {"model_config": json.dumps(config), "keras_version": "3.0"}
        assert file["layers/d/kernel"].shape == (784, 10)


@pytest.mark.parametrize(
    ("version", "taken"), [("1.2", False), ("2.15", False), ("3.1", True), (None, False), ("damaged", True)]
)
def test_the_version_of_keras_decides_what_an_activation_means(version: str | None, *, taken: bool) -> None:
    """`hard_sigmoid` became another function in Keras 3; an .h5 file without a version was written by Keras 2."""
    config = json.loads(json.dumps(CONFIG))
    config["config"]["layers"][1]["config"]["activation"] = "hard_sigmoid"
    text = json.dumps(config)
    metadata = b"{" if version == "damaged" else json.dumps({"keras_version": version or "2.0"}).encode()
    whole = keras_file(members() | {"config.json": text.encode(), "metadata.json": metadata})
    of_h5 = h5(model_config=text) if version is None else h5(model_config=text, keras_version=version)
    for content, suffix in ((whole, ".keras"), (of_h5, ".h5")):
        if taken:
            assert files.checked(content, suffix)["class_name"] == "Sequential"
        else:
            with pytest.raises(ModelFileError, match="another function in Keras 3 than in the Keras of the file"):
                files.checked(content, suffix)


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
def test_a_keras_file_without_configuration_or_weights_is_refused_by_name(name: str) -> None:
    content = members()
    del content[name]
    with pytest.raises(ModelFileError, match=f"^refused: There is no item named '{name}' in the archive$"):
        files.checked(keras_file(content), ".keras")


def test_a_member_may_unpack_to_a_hundred_times_its_size_and_small_ones_to_100_kib(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for size, taken in ((100 * 1024, True), (100 * 1024 + 1, False)):
        content = keras_file(members() | {"metadata.json": b" " * size}, zipfile.ZIP_DEFLATED)
        if taken:
            files.checked(content, ".keras")
            continue
        with pytest.raises(ModelFileError, match=r"^refused: zip bomb: metadata\.json unpacks to 102,401 bytes from "):
            files.checked(content, ".keras")
    monkeypatch.setattr(files, "MAX_BYTES", len(h5()))
    monkeypatch.setattr(files, "MAX_CONFIG_BYTES", len(members()["config.json"]))
    files.checked(keras_file(members()), ".keras")
    monkeypatch.setattr(files, "MAX_CONFIG_BYTES", len(members()["config.json"]) - 1)
    with pytest.raises(ModelFileError, match=r"zip bomb: config\.json "):
        files.checked(keras_file(members()), ".keras")
    monkeypatch.setattr(files, "MAX_CONFIG_BYTES", len(members()["config.json"]))
    monkeypatch.setattr(files, "MAX_BYTES", len(h5()) - 1)
    with pytest.raises(ModelFileError, match=r"zip bomb: model\.weights\.h5 "):
        files.checked(keras_file(members()), ".keras")


def test_a_file_of_exactly_the_limit_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", 1000)
    (tmp_path / "model.h5").write_bytes(bytes(1000))
    assert files.read_bounded(tmp_path / "model.h5") == bytes(1000)
    (tmp_path / "model.h5").write_bytes(bytes(1001))
    with pytest.raises(ModelFileError, match=r"^refused: model\.h5 is 1,001 bytes long; at most 1,000 are allowed$"):
        files.read_bounded(tmp_path / "model.h5")


def test_groups_may_be_nested_as_deep_as_the_limit() -> None:
    checked(lambda file: file.create_group("/".join("g" * MAX_GROUP_DEPTH)))
    too_deep = refusal(lambda file: file.create_group("/".join("g" * (MAX_GROUP_DEPTH + 1))))
    assert too_deep == "refused: the HDF5 file has too many objects"


def test_as_many_groups_and_arrays_as_the_limit_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "MAX_OBJECTS", 4)  # the file itself, two groups and an array
    checked(None)
    assert "too many objects" in refusal(lambda file: file.create_group("one more"))


def test_the_sizes_of_arrays_and_attributes_add_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    def change(file: Any) -> None:
        file["other"] = np.zeros((3, 5), np.float64)
        file["other"].attrs["note"] = np.zeros(7, np.int16)

    monkeypatch.setattr(hdf5, "MAX_BYTES", 784 * 10 * 4 + 3 * 5 * 8 + 7 * 2)
    checked(change)
    monkeypatch.setattr(hdf5, "MAX_BYTES", 784 * 10 * 4 + 3 * 5 * 8 + 7 * 2 - 1)
    assert "HDF5 shape bomb: its arrays take 31,494 bytes" in refusal(change)


def test_a_small_array_may_declare_100_kib_that_it_does_not_store() -> None:
    checked(lambda file: file.create_dataset("sparse", shape=(100, 1024), dtype="u1", chunks=(100, 1024)))
    bomb = refusal(lambda file: file.create_dataset("sparse", shape=(100, 1025), dtype="u1", chunks=(100, 1025)))
    assert bomb == "refused: HDF5 shape bomb: /sparse declares 102,500 bytes and stores 0"


def test_the_attributes_of_one_node_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    def change(file: Any) -> None:
        file.attrs["one"] = np.zeros(300, np.float64)
        file.attrs["two"] = np.zeros(700, np.float64)

    monkeypatch.setattr(hdf5, "MAX_CONFIG_BYTES", 1000)
    checked(change)
    monkeypatch.setattr(hdf5, "MAX_CONFIG_BYTES", 999)
    assert refusal(change) == "refused: HDF5 shape bomb: the attribute 'two'"


def test_an_attribute_that_is_not_plain_is_refused() -> None:
    pairs = np.zeros(1, [("a", "i4"), ("b", "i4")])
    assert refusal(lambda file: file.attrs.create("pairs", pairs)) == "refused: the HDF5 attribute 'pairs' is not plain"


def test_an_error_quotes_at_most_300_characters() -> None:
    require(condition=True, reason="never seen")
    with pytest.raises(ModelFileError) as caught:
        require(condition=False, reason="x" * 1000)
    assert str(caught.value) == "refused: " + "x" * MAX_REASON
