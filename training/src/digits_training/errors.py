"""Every way a run can fail on purpose, each with its exit code.

TrainingError            1  what went wrong, in one sentence
├── SettingsError        2  a setting has a value that cannot be used
├── DataError            1  the data set is missing, damaged or of the wrong form
├── ModelFileError       1  a model file is damaged, of the wrong kind, or cannot be trusted
├── NetworkError         1  the code of the user's own network failed, or returned something that is not such a network
├── DivergedError        1  the loss became NaN or infinite
├── ParityError          1  the converted model answers differently from the Keras model
├── MismatchError        1  recomputed figures differ from the published ones
└── RefusedError         3  the gate refused to publish

Interrupted        128 + n  stopped by signal n, SIGTERM or SIGINT; not an Exception, so that no library swallows it
"""

import signal


class TrainingError(Exception):
    """A failure: one sentence for the user, and the exit code of the process."""

    exit_code = 1


class SettingsError(TrainingError):
    """A setting has a value that cannot be used; the message names both and what is allowed."""

    exit_code = 2


class DataError(TrainingError):
    """The data set is missing, damaged or of the wrong kind; the message names the file."""


class ModelFileError(TrainingError):
    """A model file is damaged, of the wrong kind, or cannot be trusted; the message says why."""


class NetworkError(TrainingError):
    """The code of the user's own network failed, or returned something else; the message names file and function."""


class DivergedError(TrainingError):
    """The loss became NaN or infinite; the message says when, and what to try."""


class ParityError(TrainingError):
    """A converted model answers differently from the Keras model it was converted from."""


class MismatchError(TrainingError):
    """Figures recomputed from a published version differ from its manifest."""


class RefusedError(TrainingError):
    """The gate refused to publish; the message has the numbers."""

    exit_code = 3


class Interrupted(BaseException):
    """The process was asked to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.exit_code = 128 + number
