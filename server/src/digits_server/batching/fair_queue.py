"""The images that wait for the model, and the order in which connections have their turns.

There are two lanes, one for small submissions and one for large ones. In a batch of both, each lane has one half, and
may use what the other lane leaves free. A large submission is computed in slices, and small submissions that arrive
meanwhile share its batches. Within a lane connections take turns, and a connection may hold at most as many places as
it leaves free. So a connection that sends much delays only itself.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable

from digits_server.batching.submission import Piece, Submission


class Lane:
    """A queue for each connection, the connections in the order of their turns.

    A turn lasts until a whole submission or `turn_images` of it have been taken, whichever comes first.
    """

    def __init__(self, turn_images: int) -> None:
        self._turn_images = turn_images
        self._queues: OrderedDict[Hashable, OrderedDict[Submission, None]] = OrderedDict()
        self._has_turn: Submission | None = None
        self._gone = 0

    def __bool__(self) -> bool:
        return bool(self._queues)

    def __contains__(self, submission: Submission) -> bool:
        return submission in self._queues.get(submission.peer, ())

    def add(self, submission: Submission) -> None:
        queue = self._queues.get(submission.peer)
        if queue is None:
            queue = self._queues[submission.peer] = OrderedDict()
        queue[submission] = None

    def remove(self, submission: Submission) -> None:
        queue = self._queues[submission.peer]
        del queue[submission]
        if not queue:
            del self._queues[submission.peer]

    def next(self) -> Submission:
        """The first submission of the connection whose turn it is."""
        return next(iter(next(iter(self._queues.values()))))

    def took(self, submission: Submission, images: int) -> None:
        """`images` more images of the submission that `next` returned were taken.

        After its turn, the submission goes behind the others of its connection, and the connection behind the others.
        """
        self._gone = images + (self._gone if submission is self._has_turn else 0)
        self._has_turn = submission
        if not submission.waiting or self._gone >= self._turn_images:
            self._has_turn = None
            self._queues[submission.peer].move_to_end(submission)
            self._queues.move_to_end(submission.peer)
        if not submission.waiting:
            self.remove(submission)


class FairQueue:
    """At most `max_images` images that wait. Submissions of up to `small_images` take the lane of the small ones.

    A connection has its turn for one submission, but for no more than `turn_images` of it.
    """

    def __init__(self, max_images: int, small_images: int, turn_images: int = 1) -> None:
        self._max_images = max_images
        self._small_images = small_images
        self._small, self._large = Lane(turn_images), Lane(turn_images)
        self._by_peer: dict[Hashable, int] = {}
        self.waiting = 0
        """Images that wait."""

    def __bool__(self) -> bool:
        return self.waiting > 0

    def has_room(self, images: int, peer: Hashable) -> bool:
        """Whether `images` more of `peer` may wait: it may then hold at most as many places as are left free."""
        return self._by_peer.get(peer, 0) + images <= self._max_images - self.waiting - images

    def before(self, images: int, peer: Hashable) -> int:
        """How many images would leave the queue until `images` more of `peer` have left it, in the order of turns."""
        own = self._by_peer.get(peer, 0) + images
        others = len(self._by_peer) + (peer not in self._by_peer)
        return min(self.waiting + images, own * others)

    def add(self, submission: Submission) -> None:
        self._lane(submission).add(submission)
        self._count(submission.peer, submission.waiting)

    def remove(self, submission: Submission) -> None:
        """Removes the images of a submission that still wait, if there are any."""
        lane = self._lane(submission)
        if submission in lane:
            lane.remove(submission)
            self._count(submission.peer, -submission.waiting)

    def take_small(self, room: int, usable: Callable[[Submission], bool]) -> list[Piece]:
        """As `take`, small submissions only."""
        pieces: list[Piece] = []
        self._fill(pieces, self._small, room, usable)
        return pieces

    def take_large(self, room: int, usable: Callable[[Submission], bool]) -> list[Piece]:
        """As `take`, large submissions only."""
        pieces: list[Piece] = []
        self._fill(pieces, self._large, room, usable)
        return pieces

    def take(self, room: int, usable: Callable[[Submission], bool]) -> list[Piece]:
        """The next batch: at most `room` images of submissions that are `usable`. Unusable ones leave the queue."""
        pieces: list[Piece] = []
        kept = room // 2 if self._large else 0
        room = kept + self._fill(pieces, self._small, room - kept, usable)
        room = self._fill(pieces, self._large, room, usable)
        self._fill(pieces, self._small, room, usable)
        return pieces

    def _fill(self, pieces: list[Piece], lane: Lane, room: int, usable: Callable[[Submission], bool]) -> int:
        """Moves images from `lane` to `pieces` until the batch is full. Returns how many more would fit."""
        while room and lane:
            submission = lane.next()
            if not usable(submission):
                self.remove(submission)
                continue
            start = submission.taken
            count = min(room, submission.waiting)
            submission.taken += count
            room -= count
            self._count(submission.peer, -count)
            lane.took(submission, count)
            pieces.append(Piece(submission, start, submission.taken))
        return room

    def _lane(self, submission: Submission) -> Lane:
        return self._small if len(submission.images) <= self._small_images else self._large

    def _count(self, peer: Hashable, images: int) -> None:
        self.waiting += images
        left = self._by_peer.get(peer, 0) + images
        if left:
            self._by_peer[peer] = left
        else:
            del self._by_peer[peer]
