"""Retries, sizes, channel options and environment variables: the settings take effect."""

from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from support.client.both import Connect
from support.client.scripted import ScriptedServer, refusing
from support.pictures.pixels import IMAGE

from digits_client import Client, InvalidInput, Misused, Overloaded, ResourceExhausted, Retries, Sizes, Unavailable

TOKEN = "a-token-of-the-environment"  # noqa: S105 - known to tests only


@pytest.mark.parametrize(
    ("retries", "tries"), [(None, 1), (Retries(attempts=1), 1), (Retries(attempts=2), 2), (Retries(), 5)], ids=str
)
def test_a_call_is_tried_as_often_as_was_set(
    connect: Connect, script: ScriptedServer, retries: Retries | None, tries: int
) -> None:
    script.answer = refusing(grpc.StatusCode.UNAVAILABLE)
    with pytest.raises(Unavailable):
        connect(script.target, retries=retries).predict(IMAGE)
    assert len(script.requests) == tries


def test_a_small_budget_ends_retries_soon(connect: Connect, script: ScriptedServer) -> None:
    script.answer = refusing(grpc.StatusCode.UNAVAILABLE)
    client = connect(script.target, retries=Retries(budget=2, first_backoff_seconds=0.001))
    for _ in range(5):
        with pytest.raises(Unavailable):
            client.predict(IMAGE)
    assert len(script.requests) <= 6


@pytest.mark.parametrize(("retries", "answered"), [(Retries(), True), (Retries(attempts=1), False), (None, False)])
def test_an_overloaded_batch_is_sent_again_unless_retries_are_off(
    connect: Connect, script: ScriptedServer, retries: Retries | None, answered: bool
) -> None:
    script.answer = refusing(grpc.StatusCode.RESOURCE_EXHAUSTED, 1, pushback=1)
    client = connect(script.target, retries=retries)
    if answered:
        assert client.predict_batch([IMAGE]).digits.tolist() == [7]
    else:
        with pytest.raises(Overloaded):
            client.predict_batch([IMAGE])
    assert len(script.requests) == (2 if answered else 1)


def test_batches_are_cut_into_rpcs_of_the_sizes_that_were_set(connect: Connect, script: ScriptedServer) -> None:
    client = connect(script.target, sizes=Sizes(images_per_rpc=10, files_per_rpc=3, bytes_per_rpc=100))
    client.predict_batch(np.tile(IMAGE, (25, 1, 1)))
    assert sorted(script.sizes) == [5, 10, 10]
    script.requests.clear()
    client.predict_batch([b"file"] * 7)
    assert sorted(script.sizes) == [1, 3, 3]
    script.requests.clear()
    client.predict_batch([b"f" * 60] * 3)
    assert sorted(script.sizes) == [1, 1, 1]


def test_the_batch_size_of_an_iterator_is_bounded_by_the_sizes(connect: Connect, script: ScriptedServer) -> None:
    client = connect(script.target, sizes=Sizes(images_per_rpc=10))
    with pytest.raises(InvalidInput, match="batch_size: expected 1 to 10 images; got 11"):
        list(client.predict_iter([IMAGE], batch_size=11))
    assert len(list(client.predict_iter([IMAGE] * 20, batch_size=10))) == 20


def test_a_reply_larger_than_was_set_is_refused(connect: Connect, script: ScriptedServer) -> None:
    client = connect(script.target, sizes=Sizes(reply_bytes=1024))
    with pytest.raises(ResourceExhausted, match="larger than max"):
        client.predict_batch(np.tile(IMAGE, (1000, 1, 1)), probabilities=True)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (Retries, "attempts", 0),
        (Retries, "attempts", 6),
        (Retries, "attempts", 2.0),
        (Retries, "attempts", True),
        (Retries, "first_backoff_seconds", 0),
        (Retries, "most_backoff_seconds", float("nan")),
        (Retries, "budget", 1001),
        (Retries, "budget_per_success", "1"),
        (Sizes, "images_per_rpc", 0),
        (Sizes, "files_per_rpc", -1),
        (Sizes, "bytes_per_rpc", None),
        (Sizes, "rpcs_in_flight", 65),
        (Sizes, "file_rpcs_in_flight", 0),
        (Sizes, "reply_bytes", 2**31),
    ],
)
def test_a_setting_out_of_bounds_is_refused_by_name(kind: Any, field: str, value: Any) -> None:
    with pytest.raises(InvalidInput, match=f"^{field}: expected a"):
        kind(**{field: value})


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"retries": 3}, "retries: expected Retries"), ({"sizes": None}, "sizes: expected Sizes")],
    ids=str,
)
def test_a_number_instead_of_settings_is_refused_with_the_expected_type(
    connect: Connect, settings: dict[str, Any], named: str
) -> None:
    with pytest.raises(InvalidInput, match=named):
        connect("localhost:1", **settings)


@pytest.mark.parametrize("settings", [Retries(), Sizes()])
def test_settings_are_frozen_and_every_field_is_documented(settings: Any) -> None:
    for name in type(settings).__dataclass_fields__:
        assert f"\n    {name} " in (type(settings).__doc__ or "")
        with pytest.raises(FrozenInstanceError):
            setattr(settings, name, 1)


@pytest.mark.parametrize("form", [dict, list], ids=["mapping", "pairs"])
def test_channel_options_reach_the_channel(connect: Connect, script: ScriptedServer, form: Any) -> None:
    connect(script.target, channel_options=form({"grpc.primary_user_agent": "forms/3"}.items())).predict(IMAGE)
    (context,) = script.contexts
    assert str(dict(context.invocation_metadata())["user-agent"]).startswith("forms/3 grpc-python")


def test_a_channel_option_replaces_what_the_client_sets_itself(connect: Connect, script: ScriptedServer) -> None:
    script.answer = refusing(grpc.StatusCode.UNAVAILABLE)
    with pytest.raises(Unavailable):
        connect(script.target, channel_options={"grpc.service_config": "{}"}).predict(IMAGE)
    assert len(script.requests) == 1


@pytest.mark.parametrize("options", [7, "grpc.x", {"grpc.x": 1.5}, {"grpc.x": None}, {7: 1}, [("grpc.x",)]], ids=str)
def test_an_invalid_channel_option_is_refused_at_once(connect: Connect, options: Any) -> None:
    with pytest.raises(InvalidInput, match="channel_options"):
        connect("localhost:1", channel_options=options)


@pytest.fixture
def token_file(tmp_path: Path, script: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Both variables are set: the server's, and a file with a token."""
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    monkeypatch.setenv("DIGITS_TARGET", script.target)
    monkeypatch.setenv("DIGITS_TOKEN_FILE", str(path))
    return path


def sent(script: ScriptedServer) -> list[object]:
    return [dict(context.invocation_metadata()).get("authorization") for context in script.contexts]


def test_a_client_without_a_target_takes_it_and_the_token_from_the_environment(
    connect: Connect, script: ScriptedServer, token_file: Path
) -> None:
    client = connect()
    client.predict(IMAGE)
    token_file.write_text("the-next-token")  # rotated: it is read for each RPC
    client.predict(IMAGE)
    assert sent(script) == [f"Bearer {TOKEN}", "Bearer the-next-token"]


@pytest.mark.usefixtures("token_file")
def test_the_token_of_the_environment_goes_to_no_other_target(connect: Connect, script: ScriptedServer) -> None:
    connect(script.target).predict(IMAGE)
    connect(token="another").predict(IMAGE)  # noqa: S106
    assert sent(script) == [None, "Bearer another"]


def test_an_empty_target_in_the_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_TARGET", "")
    monkeypatch.setenv("DIGITS_TOKEN_FILE", "")
    with Client() as client:
        assert client._endpoint.target == "localhost:50051"
        assert client._endpoint.token is None


def test_a_token_file_that_cannot_be_used_is_named_at_once(connect: Connect, token_file: Path) -> None:
    token_file.write_text("two words")
    with pytest.raises(InvalidInput, match=f"DIGITS_TOKEN_FILE: {token_file}: token: expected") as caught:
        connect()
    assert "two words" not in str(caught.value)
    token_file.unlink()
    with pytest.raises(Misused, match=f"DIGITS_TOKEN_FILE: cannot read {token_file}: No such file"):
        connect()


@pytest.mark.usefixtures("token_file")
def test_the_token_of_the_environment_leaves_this_machine_in_no_plaintext(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_TARGET", "digits.invalid:50051")
    with pytest.raises(Misused, match="plaintext"):
        Client()
