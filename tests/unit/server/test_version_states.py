"""The state of every version: what GetModel says of it, from its discovery to its end."""

import pytest

from digits.v1.prediction_pb2 import ModelVersionStatus
from digits_server.observability.metrics import Metrics
from digits_server.serving.version_states import VersionStates


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def states(metrics: Metrics) -> VersionStates:
    states = VersionStates(metrics.model_load_failures)
    states.saw([3, 1, 2])
    return states


def told(states: VersionStates, *serving: int) -> dict[int, str]:
    """The state of each version by its name, in the order in which callers get them."""
    return {
        item.version: ModelVersionStatus.State.Name(item.state) for item in states.statuses(serving=frozenset(serving))
    }


def test_a_version_is_available_then_loading_then_serving(states: VersionStates) -> None:
    assert list(told(states).items()) == [(1, "AVAILABLE"), (2, "AVAILABLE"), (3, "AVAILABLE")]
    states.loading(3)
    assert told(states)[3] == "LOADING"
    states.loaded()
    assert told(states, 3) == {1: "AVAILABLE", 2: "AVAILABLE", 3: "SERVING"}


def test_a_rejected_version_has_its_reason_until_it_is_tried_again(states: VersionStates, metrics: Metrics) -> None:
    states.loading(3)
    states.reject(3, "hash", "model.tflite does not have the SHA-256 in its manifest")
    assert told(states)[3] == "REJECTED"
    assert states.statuses(serving=())[2].reason == "model.tflite does not have the SHA-256 in its manifest"
    assert states.rejected == {3}
    assert metrics.registry.get_sample_value("digits_model_load_failures_total", {"reason": "hash"}) == 1
    states.loading(3)
    assert told(states)[3] == "LOADING"
    assert states.rejected == set()


def test_a_version_that_serves_goes_on_with_the_reason_why_its_new_files_failed(states: VersionStates) -> None:
    states.reject(2, "size", "too large")
    assert told(states, 2)[2] == "SERVING"
    assert states.statuses(serving={2})[1].reason == "too large"
    assert states.rejections(in_use={2}) == {}
    assert states.rejections(in_use={1}) == {2: "too large"}


def test_a_version_that_is_gone_is_forgotten_unless_it_serves(states: VersionStates) -> None:
    states.reject(1, "read", "cannot be read")
    states.saw([3])
    assert told(states, 2) == {2: "SERVING", 3: "AVAILABLE"}
    assert states.rejected == set()
