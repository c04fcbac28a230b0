"""The batcher alone: callers that are cancelled disturb no other."""

import asyncio
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from support.models.batches import Gate, Observer, costs, echo, entered, marked, marks, waiting_tasks

from digits_server.batching.batcher import Batcher


async def test_a_cancelled_caller_frees_its_place_and_its_images_never_reach_the_model(
    make: Callable[..., Batcher], gate: Gate
) -> None:
    batcher = make(gate)
    first, cancelled, kept = waiting_tasks(batcher, marked(1), marked(2, 2, 2), marked(3))
    await asyncio.sleep(0)  # all three are submitted: without the cancellation they would be one batch
    cancelled.cancel()
    await asyncio.wait([cancelled])
    gate.opened.set()
    assert [marks(await task) for task in (first, kept)] == [[1], [3]]
    assert 2 not in gate.seen
    assert batcher.waiting == 0


async def test_a_caller_cancelled_while_its_batch_runs_disturbs_no_batch_mate(
    make: Callable[..., Batcher], gate: Gate
) -> None:
    batcher = make(gate)
    tasks = waiting_tasks(batcher, marked(1), marked(2), marked(3))
    await entered(gate)
    tasks[1].cancel()
    gate.opened.set()
    assert marks(await tasks[0]) == [1]
    assert marks(await tasks[2]) == [3]
    await asyncio.wait([tasks[1]], timeout=30)
    assert tasks[1].cancelled()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_cancelling_any_caller_at_any_moment_hangs_no_other_and_mixes_nothing(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 12), min_size=2, max_size=15))
    doomed = data.draw(st.sets(st.integers(0, len(sizes) - 1)))
    pauses = data.draw(st.lists(st.integers(0, 3), min_size=len(sizes), max_size=len(sizes)))
    inline_size = data.draw(st.sampled_from([0, 4, 100]))

    async def scenario() -> None:
        batcher = Batcher(echo, Observer(), costs(inline_size), max_batch_size=5, max_queue_size=1000)
        sent = [[(11 * caller + index) % 256 for index in range(size)] for caller, size in enumerate(sizes)]
        tasks = [asyncio.create_task(batcher.submit(marked(*each))) for each in sent]
        for caller, pause in enumerate(pauses):
            for _ in range(pause):
                await asyncio.sleep(0)
            if caller in doomed:
                tasks[caller].cancel()
        answers = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
        for caller, answer in enumerate(answers):
            if isinstance(answer, BaseException):
                assert isinstance(answer, asyncio.CancelledError)
                assert caller in doomed
            else:
                assert marks(answer) == sent[caller]
        assert batcher.waiting == 0
        await batcher.close()

    asyncio.run(scenario())
