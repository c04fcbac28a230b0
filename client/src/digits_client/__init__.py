"""The client of Digits: handwritten digits in, labels and probabilities out.

    from digits_client import Client

    with Client("localhost:50051") as client:
        print(client.predict("digit.png"))

`AsyncClient` has the same methods to await.
"""

from importlib.metadata import version as _version

from digits_client._async import AsyncClient
from digits_client._coalescing import Coalescing
from digits_client._errors import (
    ClientClosed,
    DeadlineExceeded,
    DigitsError,
    InvalidInput,
    Misused,
    NotFound,
    Overloaded,
    QueueFull,
    ResourceExhausted,
    ServerError,
    Unauthenticated,
    Unavailable,
)
from digits_client._results import Prediction, Predictions
from digits_client._sync import Client

__all__ = [
    "AsyncClient",
    "Client",
    "ClientClosed",
    "Coalescing",
    "DeadlineExceeded",
    "DigitsError",
    "InvalidInput",
    "Misused",
    "NotFound",
    "Overloaded",
    "Prediction",
    "Predictions",
    "QueueFull",
    "ResourceExhausted",
    "ServerError",
    "Unauthenticated",
    "Unavailable",
]

__version__ = _version("digits-client")
