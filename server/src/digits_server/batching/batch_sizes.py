"""How large a batch may be on the event loop and in the thread: by the time that a batch of this model takes."""

from dataclasses import dataclass

from digits_server.batching.batch_costs import BatchCosts

INLINE_SECONDS = 0.0003
"""A batch that takes at most this long may run on the event loop itself: handing it to a thread and back would cost
nearly as much, and other work of the loop does not wait noticeably."""

SLICE_SECONDS = 0.002
"""How long the thread may run one batch. Larger batches cost less per image, but other large submissions wait."""

TURN_SECONDS = 0.02
"""How long one submission may fill the batches before other connections have their turn. If turns changed with every
batch, all submissions would end late, and each new one would delay all waiting ones."""

DIRECT_SECONDS = 0.01
"""How long a batch may take in the thread that receives calls: those that arrive meanwhile are neither answered nor
rejected before it ends."""

SMALL_IMAGES = 32
"""Images of the largest submission that counts as small."""


@dataclass(frozen=True, slots=True)
class BatchSizes:
    """Numbers of images.

    in_loop    the largest batch on the event loop; 0: every batch runs in the thread
    in_thread  the largest batch in the thread
    small      the largest submission that runs on the event loop while large ones run in the thread
    turn       how many images of one submission are computed before other connections have their turn
    """

    in_loop: int
    in_thread: int
    small: int
    turn: int

    @classmethod
    def of(cls, costs: BatchCosts, max_batch_size: int, max_queue_size: int) -> "BatchSizes":
        """The sizes for a model with these costs.

        A submission that is too large for the queue of `max_queue_size` images is not run on the event loop either:
        otherwise it would be answered or rejected depending on whether the model is busy.
        """
        in_loop = min(max_batch_size, max_queue_size // 2, costs.largest_within(INLINE_SECONDS))
        in_thread = min(max_batch_size, max(costs.efficient_size, costs.largest_within(SLICE_SECONDS)))
        return cls(
            in_loop=in_loop,
            in_thread=in_thread,
            small=min(SMALL_IMAGES, in_loop),
            turn=max(in_thread, costs.largest_within(TURN_SECONDS)),
        )
