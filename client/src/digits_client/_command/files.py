"""The files of a command line: names, patterns and standard input → answers, even if single files are bad."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from glob import glob
from itertools import islice

from digits_client._answers.results import Prediction
from digits_client._errors import DeadlineExceeded, DigitsError, InvalidInput, ResourceExhausted
from digits_client._limits import FILES_PER_RPC
from digits_client._sync import Client

STANDARD_INPUT = "-"


def expanded(names: Sequence[str]) -> list[str]:
    """The names, with patterns (*, ?, [], **) replaced by their matches. InvalidInput if a pattern has no match."""
    found: list[str] = []
    for name in names:
        if os.path.lexists(name) or not any(sign in name for sign in "*?["):
            found.append(name)
        elif matches := sorted(glob(name, recursive=True)):  # noqa: PTH207  # Path.glob takes no absolute patterns
            found += matches
        else:
            raise InvalidInput(f"no file matches {name}")
    if found.count(STANDARD_INPUT) > 1:
        raise InvalidInput("standard input (-) can be read once")
    return found


def predictions(
    client: Client, names: Sequence[str], *, probabilities: bool, unlike: bool = False, model_version: int
) -> Iterator[tuple[str, Prediction | DigitsError]]:
    """Each name with its answer, or with the error of that file alone. Raises errors that concern all files."""
    line = iter(names)
    predict = partial(client.predict, probabilities=probabilities, unlike=unlike, model_version=model_version)
    while group := list(islice(line, FILES_PER_RPC)):
        images: list[str | bytes] = [sys.stdin.buffer.read() if name == STANDARD_INPUT else name for name in group]
        try:
            answers: Sequence[Prediction | DigitsError] = client.predict_batch(
                images, probabilities=probabilities, unlike=unlike, model_version=model_version
            )
        except DeadlineExceeded as error:  # a slow group does not affect the others
            answers = [error] * len(group)
        except (InvalidInput, ResourceExhausted) as error:  # some file among them; which ones, is found one by one
            if isinstance(error, ResourceExhausted) and error.retry_after_seconds is not None:  # overloaded: no file's
                answers = [error] * len(group)  # fault, and one RPC for each would make it worse
            else:
                answers = [_alone(predict, image) for image in images]
        yield from zip(group, answers, strict=True)


def _alone(predict: Callable[[str | bytes], Prediction], image: str | bytes) -> Prediction | DigitsError:
    try:
        return predict(image)
    except (InvalidInput, ResourceExhausted) as error:
        return error
