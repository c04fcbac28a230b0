"""The environment variables of a client without a target; the command `digits` uses the same."""

import os
from pathlib import Path

from digits_client import _limits
from digits_client._connection.tokens import Token, checked
from digits_client._errors import InvalidInput, Misused

TARGET = "DIGITS_TARGET"
TOKEN_FILE = "DIGITS_TOKEN_FILE"  # noqa: S105  # nosec B105  # the name of a variable


def target_and_token(target: str | None, token: Token | None) -> tuple[str, Token | None]:
    """The target and the token to use. Variables count only if no target is given: their token is for their target.

    Misused if the file of the token cannot be read, InvalidInput if it holds no token.
    """
    if target is not None:
        return target, token
    target = os.environ.get(TARGET) or f"localhost:{_limits.DEFAULT_PORT}"
    path = os.environ.get(TOKEN_FILE)
    if token is not None or not path:
        return target, token

    def read() -> str:
        return Path(path).read_text("ascii", "replace")

    try:
        checked(read())
    except OSError as error:
        raise Misused(f"{TOKEN_FILE}: cannot read {path}: {error.strerror}") from error
    except InvalidInput as error:
        raise InvalidInput(f"{TOKEN_FILE}: {path}: {error}") from error
    return target, read
