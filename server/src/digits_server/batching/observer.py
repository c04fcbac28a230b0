"""What a batcher reports of its work."""

from typing import Protocol


class BatchObserver(Protocol):
    """Receives events of the batcher, in seconds and images."""

    def waited(self, seconds: float) -> None:
        """The first images of one submission left the queue."""
        ...

    def ran(self, images: int, seconds: float) -> None:
        """One batch went through the model."""
        ...
