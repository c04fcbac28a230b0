"""Versions that fail in unusual ways while the server follows its source, and the registry without a model."""

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from digits.v1.manifest_pb2 import Manifest
from digits_server.batching.batch_costs import BatchCosts
from digits_server.errors import ModelRejected, NotFound, OperatorError, Unavailable
from digits_server.models.rollout import Rollout
from digits_server.models.source import LoadedModel, ModelSource
from digits_server.models.verification import VerifiedModel
from digits_server.observability.metrics import Metrics
from digits_server.serving import lifecycle
from digits_server.serving.lifecycle import Lifecycle
from digits_server.serving.registry import ModelRegistry
from digits_server.serving.retries import Retries


class Constant:
    """A runtime that gives every image the same probability for each digit."""

    name = "constant"
    largest_shape = 2

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.full((len(images), 10), 0.1, np.float32)


def verified(version: int) -> VerifiedModel:
    loaded = LoadedModel(manifest=Manifest(model_version=version), runtime=Constant(), sha256="")
    return VerifiedModel(loaded=loaded, costs=BatchCosts({1: 1.0, 2: 1.0}), seconds=0.0)


class Source:
    """A source of version 1, whose files never change."""

    def __init__(self) -> None:
        self.failure: Exception | None = None

    def rollout(self) -> Rollout:
        if self.failure:
            raise self.failure
        return Rollout()

    def versions(self, also: object = ()) -> list[int]:  # noqa: ARG002
        return [1]

    def fingerprint(self, _version: int) -> bytes:
        return b"unchanged"


class Followed:
    """A lifecycle whose models are verified by what the test says, one outcome after the other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *outcomes: Exception | None) -> None:
        self.left = list(outcomes)
        self.now = 0.0
        monkeypatch.setattr(lifecycle, "verify", self._verify)
        monkeypatch.setattr(
            lifecycle, "SANDBOX", SimpleNamespace(close=lambda: None)
        )  # that of this process stays open
        monkeypatch.setattr(lifecycle, "Retries", lambda: Retries(lambda: self.now))
        self.source = Source()
        self.models = ModelRegistry(Metrics(), max_batch_size=2, max_queue_size=2)
        source = cast("ModelSource", self.source)
        self.lifecycle = Lifecycle(source, self.models, poll_interval=0, served_versions=1, max_batch_size=2)

    def _verify(self, _source: ModelSource, version: int, *_: object, **__: object) -> VerifiedModel:
        if outcome := self.left.pop(0):
            raise outcome
        return verified(version)

    async def looked(self) -> str:
        """Why version 1 does not answer after one more look; empty if it does."""
        await self.lifecycle.follow()
        return self.models.rejections.get(1, "")

    async def close(self) -> None:
        await self.lifecycle.close()
        await self.models.close()


async def test_a_version_on_which_the_server_itself_fails_is_rejected_and_tried_again_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    followed = Followed(monkeypatch, KeyError("a fault of ours"), None)
    reason = "the server failed on it; its log says why"
    assert await followed.looked() == reason
    assert "loading model version 1 failed" in caplog.text
    assert "a fault of ours" in caplog.text
    assert await followed.looked() == reason
    assert len(followed.left) == 1  # not tried again yet
    followed.now = 3.0
    assert await followed.looked() == ""
    assert followed.models.versions == {1}
    await followed.close()


@pytest.mark.parametrize(("cause", "tried_again"), [("read", True), ("hash", False)])
async def test_only_a_rejection_that_may_pass_is_tried_again_without_a_change(
    monkeypatch: pytest.MonkeyPatch, cause: str, tried_again: bool
) -> None:
    followed = Followed(monkeypatch, ModelRejected(cause, "it is not good"), None)
    assert await followed.looked() == "it is not good"
    followed.now = 3.0
    assert (await followed.looked() == "") == tried_again
    await followed.close()


async def test_a_runtime_that_is_not_installed_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    followed = Followed(monkeypatch, OperatorError("the runtime needs TensorFlow"))
    with pytest.raises(OperatorError, match="needs TensorFlow"):
        await followed.lifecycle.start()
    await followed.close()


async def test_an_unexpected_failure_of_a_look_leaves_the_versions_that_serve(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    followed = Followed(monkeypatch, None)
    await followed.lifecycle.start()
    followed.source.failure = KeyError("a fault of ours")
    await followed.looked()
    assert "looking for new versions failed; the versions that serve go on" in caplog.text
    assert followed.models.ready
    assert followed.models.current_version == 1
    await followed.close()


@pytest.mark.parametrize(
    "ask",
    [
        lambda models: models.get(),
        lambda models: models.get(3),
        lambda models: models.check(0),
        lambda models: models.current,
    ],
)
async def test_without_a_model_every_question_is_unavailable(ask: Callable[[ModelRegistry], object]) -> None:
    models = ModelRegistry(Metrics(), max_batch_size=2, max_queue_size=2)
    with pytest.raises(Unavailable, match="no model is serving yet"):
        ask(models)
    models.add(verified(1))
    models.make_current(1)
    with pytest.raises(NotFound, match="one of: 1"):
        models.check(3)
    await models.close()


async def test_a_version_loaded_again_replaces_itself_and_stays_the_current_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    models = ModelRegistry(Metrics(), max_batch_size=2, max_queue_size=2)
    models.add(verified(1))
    models.make_current(1)
    before = models.current
    models.add(verified(1))
    assert models.current is models.get(1)
    assert models.current is not before
    await models.close()
    assert models.have_left
    assert "model version 1 has left" in caplog.text
