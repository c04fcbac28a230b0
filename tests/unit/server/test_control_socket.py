"""The control socket between the supervisor and a worker: a normal end is recognised, and only faults are logged."""

import asyncio
import logging
import socket

import pytest

from digits_server.workers.control import Channel, ChannelClosed

SECONDS = 20.0


async def nothing(_question: str, _argument: object) -> None:
    """Answers every question."""


@pytest.mark.parametrize("read", [True, False], ids=["having read all", "leaving something unread"])
def test_a_question_to_a_side_that_ends_gets_an_error_and_no_log_line(
    read: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def asked() -> None:
        ours, theirs = socket.socketpair()
        channel = Channel(nothing)
        await channel.open(ours)
        reading = asyncio.create_task(channel.run())
        question = asyncio.create_task(channel.ask("report", seconds=SECONDS))
        await asyncio.sleep(0)  # it is in flight
        if read:
            theirs.recv(1024)
        theirs.close()
        with pytest.raises(ChannelClosed):
            await question
        await reading

    with caplog.at_level(logging.DEBUG):
        asyncio.run(asked())
    assert [record.getMessage() for record in caplog.records if record.name.startswith("digits")] == []


def test_an_invalid_answer_ends_the_conversation_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def told() -> None:
        ours, theirs = socket.socketpair()
        channel = Channel(nothing)
        await channel.open(ours)
        theirs.sendall(b"no JSON\n")
        await channel.run()
        theirs.close()

    asyncio.run(told())
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith("the control socket failed")
