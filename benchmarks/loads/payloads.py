"""What is sent: the first images of the MNIST test set, and what they are answered with."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.loads.network import Network, from_keras
from benchmarks.loads.protocols import Images, Protocol, framed
from digits_training.data import read

MODEL_NAME = "digits"


@dataclass(frozen=True)
class Payload:
    """One request on disk, for load generators: `message` bare, `frame` as gRPC sends it."""

    message: Path
    frame: Path


class Payloads:
    """Requests made of real images, and the published network that says what is right."""

    def __init__(self, repository: Path, folder: Path) -> None:
        """`repository` holds published versions; the payload files go into `folder`. Ends the command without one."""
        self.repository = repository
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        versions = [path for path in (repository / MODEL_NAME).glob("*") if path.name.isdecimal()]
        if not versions:
            raise SystemExit(
                f"nothing measured: no published model in {repository}: run `make run` or `digits-train` first"
            )
        self.version = max(versions, key=lambda path: int(path.name))
        """The folder of the version that the server will pick."""

    @cached_property
    def images(self) -> Images:
        return read(None).test.images

    @cached_property
    def network(self) -> Network:
        return from_keras(self.version / "model.keras")

    @cached_property
    def weights(self) -> Path:
        """The network's weights as .npz, for a Python that has nothing but NumPy."""
        path = self._folder / "weights.npz"
        self.network.save(path)
        return path

    def digits(self, count: int) -> list[int]:
        """The right answer to the first `count` images: the published network's, not the labels."""
        return [int(digit) for digit in self.network(self.images[:count]).argmax(axis=1)]

    def payload(self, protocol: Protocol, count: int) -> Payload:
        """A request with the first `count` images."""
        message = protocol.request(self.images[:count])
        payload = Payload(
            self._folder / f"{protocol.name}-{count}.message", self._folder / f"{protocol.name}-{count}.frame"
        )
        payload.message.write_bytes(message)
        payload.frame.write_bytes(framed(message))
        return payload
