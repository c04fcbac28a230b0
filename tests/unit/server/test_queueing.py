"""Turns of connections: waiting images go into batches fairly, completely and once."""

from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from digits_server.batching.fair_queue import FairQueue
from digits_server.batching.submission import Piece, Submission

SMALL_IMAGES = 32
LARGE = 1024


def submission(images: int, peer: str = "a") -> Submission:
    future: Any = None  # no caller waits for an answer here
    return Submission(np.zeros((images, 28, 28), np.uint8), None, peer, future)


def filled(*submissions: Submission, places: int = 1_000_000) -> FairQueue:
    queue = FairQueue(places, SMALL_IMAGES)
    for each in submissions:
        queue.add(each)
    return queue


def any_of_them(_submission: Submission) -> bool:
    return True


def images(pieces: list[Piece], of: Submission) -> int:
    return sum(piece.stop - piece.start for piece in pieces if piece.submission is of)


def test_a_small_submission_goes_with_the_next_batch_however_much_a_large_one_has_waiting() -> None:
    large, small = submission(10 * LARGE), submission(1)
    queue = filled(large)
    queue.take(256, any_of_them)
    queue.add(small)
    pieces = queue.take(256, any_of_them)
    assert images(pieces, small) == 1
    assert images(pieces, large) == 255


def test_small_submissions_leave_a_large_one_half_of_each_batch() -> None:
    large = submission(LARGE)
    queue = filled(large, *(submission(SMALL_IMAGES, f"b{index}") for index in range(100)))
    assert images(queue.take(256, any_of_them), large) == 128


def test_a_large_submission_has_the_whole_batch_if_no_other_waits() -> None:
    large = submission(LARGE)
    assert images(filled(large).take(256, any_of_them), large) == 256


def test_large_submissions_of_several_connections_take_turns() -> None:
    queue = filled(*(submission(4 * 256, peer) for peer in "abc"))
    assert [queue.take(256, any_of_them)[0].submission.peer for _ in range(6)] == list("abcabc")


def test_a_connection_with_many_small_submissions_delays_another_by_one_turn() -> None:
    late = submission(1, "b")
    queue = filled(*(submission(1, "a") for _ in range(1000)), late)
    assert [piece.submission.peer for piece in queue.take(4, any_of_them)] == ["a", "b", "a", "a"]


def test_one_connection_may_hold_as_many_places_as_it_leaves_free() -> None:
    queue = filled(places=100)
    assert queue.has_room(50, "a")
    assert not queue.has_room(51, "a")
    queue.add(submission(50, "a"))
    assert not queue.has_room(1, "a")
    assert queue.has_room(25, "b")


def test_those_not_usable_leave_the_queue_and_give_their_room_to_others() -> None:
    gone, kept = submission(5), submission(3)
    queue = filled(gone, kept)
    pieces = queue.take(5, lambda each: each is kept)
    assert images(pieces, gone) == 0
    assert images(pieces, kept) == 3
    assert queue.waiting == 0


def test_the_images_that_go_before_are_those_of_as_many_turns() -> None:
    queue = filled(submission(10 * LARGE, "a"))
    assert queue.before(1, "b") == 2
    assert queue.before(1, "a") == 10 * LARGE + 1
    assert queue.before(100 * LARGE, "b") == 110 * LARGE


@given(
    sizes=st.lists(st.tuples(st.integers(1, 300), st.sampled_from("abc")), min_size=1, max_size=30),
    room=st.integers(1, 400),
    removed=st.sets(st.integers(0, 29)),
)
def test_every_image_is_taken_once_in_order_and_the_count_of_those_waiting_is_exact(
    sizes: list[tuple[int, str]], room: int, removed: set[int]
) -> None:
    submissions = [submission(*each) for each in sizes]
    queue = filled(*submissions)
    seen: dict[int, list[tuple[int, int]]] = {}
    turn = 0
    while queue:
        turn += 1
        if turn - 1 in removed and turn <= len(submissions):
            queue.remove(submissions[turn - 1])
        pieces = queue.take(room, any_of_them)
        assert sum(piece.stop - piece.start for piece in pieces) <= room
        left = [each.waiting for index, each in enumerate(submissions) if not gone(index, removed, turn)]
        assert queue.waiting == sum(left)
        for piece in pieces:
            seen.setdefault(id(piece.submission), []).append((piece.start, piece.stop))
    for index, each in enumerate(submissions):
        ranges = seen.get(id(each), [])
        assert all(before[1] == after[0] for before, after in pairwise(ranges))
        if not gone(index, removed, turn):
            assert (ranges[0][0], ranges[-1][1]) == (0, len(each.images))


def gone(index: int, removed: set[int], turns: int) -> bool:
    """Whether the submission was removed within `turns` turns."""
    return index in removed and index < turns


def test_a_turn_lasts_until_the_submission_is_through_or_had_its_share() -> None:
    queue = FairQueue(1_000_000, SMALL_IMAGES, turn_images=512)
    for peer, size in (("a", 400), ("b", 2000), ("c", 400)):
        queue.add(submission(size, peer))
    takes = [queue.take(200, any_of_them)[0].submission.peer for _ in range(10)]
    assert takes == list("aabbbccbbb")
