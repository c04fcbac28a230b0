"""The model of a server and the names of its digits, as plain objects."""

import copy
import pickle
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from support.client.both import Connect
from support.client.scripted import ScriptedServer
from support.pictures.pixels import IMAGE
from support.servers.process import ServerProcess

from digits.v1.manifest_pb2 import Manifest
from digits.v1.prediction_pb2 import GetModelResponse, ModelVersionStatus
from digits_client import Client, ModelVersion, NotFound, Unavailable, VersionState

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]

CALLS: dict[str, Callable[..., "list[str | None]"]] = {
    "predict": lambda client, **asked: [client.predict(IMAGE, **asked).label],
    "a file": lambda client, **asked: [client.predict(b"\x07", **asked).label],
    "predict_batch": lambda client, **asked: [item.label for item in client.predict_batch([IMAGE, IMAGE], **asked)],
    "predict_iter": lambda client, **asked: [item.label for item in client.predict_iter([IMAGE], **asked)],
    "predict_stream": lambda client, **asked: [item.label for item in client.predict_stream([IMAGE], **asked)],
}


@pytest.fixture
def script() -> Iterator[ScriptedServer]:
    with ScriptedServer() as script:
        script.model = GetModelResponse(
            manifest=Manifest(model_name="digits", model_version=1, labels=NAMES), runtime="scripted"
        )
        yield script


def test_a_model_is_described_by_name(connect: Connect, server: ServerProcess) -> None:
    model = connect(server.target).model()
    assert (model.name, model.version, model.runtime, model.network) == ("digits", 1, "litert", "mlp")
    assert model.labels == tuple("0123456789")
    assert 0.9 < model.test_accuracy < 1
    assert model.created_at is not None
    assert model.created_at.tzinfo is UTC
    assert model.created_at < datetime.now(UTC)
    assert model.versions == (ModelVersion(1, VersionState.SERVING),)
    assert (model.pinned_version, model.canary_version, model.canary_share, model.shadow_version) == (0, 0, 0.0, 0)
    assert isinstance(model.message, GetModelResponse)


def test_fields_of_the_message_are_attributes_of_the_object_too(connect: Connect, server: ServerProcess) -> None:
    model = connect(server.target).model()
    assert model.manifest == model.message.manifest
    assert model.manifest.metrics.test_accuracy == model.test_accuracy
    state: Any = model.versions[0].state  # it was a plain number
    assert state == ModelVersionStatus.SERVING
    assert ModelVersionStatus.State.Name(state) == "SERVING"
    assert GetModelResponse.FromString(model.SerializeToString()) == model.message
    with pytest.raises(AttributeError):
        model.no_such_field  # noqa: B018


def test_a_model_is_a_value(connect: Connect, server: ServerProcess) -> None:
    model = connect(server.target).model()
    assert model == copy.deepcopy(model) == pickle.loads(pickle.dumps(model))  # noqa: S301  # made a moment ago
    assert len({model, copy.copy(model)}) == 1
    with pytest.raises(AttributeError):
        model.name = "another"  # type: ignore[misc]


def test_values_that_a_server_does_not_send_are_empty(connect: Connect, script: ScriptedServer) -> None:
    script.model = GetModelResponse(runtime="scripted", versions=[ModelVersionStatus(version=3, state=9)])  # type: ignore[arg-type]
    script.model.manifest.created_at.CopyFrom(Timestamp(seconds=2**60))
    model = connect(script.target).model()
    assert (model.name, model.version, model.labels, model.created_at) == ("", 0, (), None)
    assert model.versions == (ModelVersion(3, VersionState.STATE_UNSPECIFIED),)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_labels_come_when_asked_for_and_cost_nothing_otherwise(
    connect: Connect, script: ScriptedServer, call: Callable[..., "list[str | None]"]
) -> None:
    client = connect(script.target)
    assert set(call(client)) == {None}
    assert not script.models_asked
    assert set(call(client, labels=True)) == {"seven"}
    assert set(call(client, labels=True)) == {"seven"}
    assert len(script.models_asked) == 1


def test_labels_of_a_batch_are_a_column(connect: Connect, script: ScriptedServer) -> None:
    client = connect(script.target)
    images = [np.full((28, 28), digit, np.uint8) for digit in range(10)]
    many = client.predict_batch(images, labels=True)
    assert many.labels == tuple(NAMES)
    assert many[2:4].labels == ("two", "three")
    assert many[9].to_dict()["label"] == "nine"
    assert client.predict_batch([], labels=True).labels == ()
    assert client.predict_batch(images).labels is None


def test_a_new_version_brings_its_own_labels(connect: Connect, script: ScriptedServer) -> None:
    client = connect(script.target)
    assert client.predict(IMAGE, labels=True).label == "seven"
    script.model.manifest.model_version = 2
    script.model.manifest.labels[7] = "sept"
    assert client.predict(IMAGE, labels=True, model_version=2).label == "sept"
    assert client.predict(IMAGE, labels=True).label == "seven"  # of version 1


def test_a_version_that_the_server_does_not_describe_has_no_label_and_is_asked_for_seldom(
    connect: Connect, script: ScriptedServer
) -> None:
    client = connect(script.target)
    for _ in range(5):
        assert client.predict(IMAGE, labels=True, model_version=8).label is None
    assert len(script.models_asked) == 1


def test_a_model_without_names_gives_no_labels(connect: Connect, script: ScriptedServer) -> None:
    del script.model.manifest.labels[:]
    assert connect(script.target).predict(IMAGE, labels=True).label is None


def test_labels_that_cannot_be_had_fail_the_call(connect: Connect, server: ServerProcess) -> None:
    client = connect(server.target)
    with pytest.raises(NotFound):
        client.predict(IMAGE, labels=True, model_version=99)
    with pytest.raises((Unavailable, TimeoutError)):
        connect("127.0.0.1:1", timeout=0.5).predict(IMAGE, labels=True)
    with Client(server.target) as other:
        assert other.predict(IMAGE, labels=True).label in tuple("0123456789")
