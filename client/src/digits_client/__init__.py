"""The client of Digits: handwritten digits in, labels and probabilities out.

    from digits_client import Client

    with Client("localhost:50051") as client:
        print(client.predict("digit.png"))

`AsyncClient` has the same methods to await.
"""

from importlib.metadata import version as _version

from digits_client._answers.models import ModelInfo, ModelVersion, VersionState
from digits_client._answers.results import Prediction, Predictions
from digits_client._async import AsyncClient
from digits_client._coalescing.rules import Coalescing
from digits_client._coalescing.stats import Stats
from digits_client._connection.channel import ChannelOptions
from digits_client._connection.metadata import Metadata
from digits_client._connection.pem import Pem
from digits_client._connection.tokens import Token
from digits_client._errors import (
    ClientClosed,
    DeadlineExceeded,
    DigitsError,
    FileForbidden,
    FileIsDirectory,
    FileNotFound,
    InvalidInput,
    Misused,
    NotFound,
    Overloaded,
    QueueFull,
    ResourceExhausted,
    ServerError,
    Unauthenticated,
    Unavailable,
    UnreadableFile,
)
from digits_client._inputs.images import Image
from digits_client._settings import Retries, Sizes
from digits_client._sync import Client

__all__ = [
    "AsyncClient",
    "ChannelOptions",
    "Client",
    "ClientClosed",
    "Coalescing",
    "DeadlineExceeded",
    "DigitsError",
    "FileForbidden",
    "FileIsDirectory",
    "FileNotFound",
    "Image",
    "InvalidInput",
    "Metadata",
    "Misused",
    "ModelInfo",
    "ModelVersion",
    "NotFound",
    "Overloaded",
    "Pem",
    "Prediction",
    "Predictions",
    "QueueFull",
    "ResourceExhausted",
    "Retries",
    "ServerError",
    "Sizes",
    "Stats",
    "Token",
    "Unauthenticated",
    "Unavailable",
    "UnreadableFile",
    "VersionState",
]

__version__ = _version("digits-client")
