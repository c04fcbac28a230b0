"""The Python file of the user's own network, and the call of its function.

It is code of the user who starts the run, and it runs with their rights, like any of their scripts.
"""

import hashlib
import inspect
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from digits_training.errors import NetworkError
from digits_training.settings.networks import name_of, own

MAX_BYTES = 2**20  # of the file
MODULE = "own_network"  # what the file's code finds in __name__


@dataclass(frozen=True)
class Source:
    """A function in a file, and the bytes of the file, read once."""

    path: Path
    function: str
    content: bytes

    @property
    def name(self) -> str:
        """FILE.py:FUNCTION, without folders."""
        return name_of(f"{self.path}:{self.function}")

    @property
    def sha256(self) -> str:
        """64 hexadecimal digits of the file's bytes."""
        return hashlib.sha256(self.content).hexdigest()

    def build(self) -> Any:
        """What the function returns. Raises NetworkError. The backend must have been started."""
        module = ModuleType(MODULE)
        module.__file__ = str(self.path)
        sys.modules[MODULE] = module  # dataclasses and typing look up their module
        try:
            code = compile(self.content, str(self.path), "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            line = f", line {error.lineno}: {error.msg}" if isinstance(error, SyntaxError) else f": {error}"
            raise NetworkError(f"{self.path.name}{line}") from error
        try:
            # The file is named on the command line to be run, as a script would be.
            exec(code, module.__dict__)  # noqa: S102  # nosec B102
        except (Exception, SystemExit) as error:
            raise NetworkError(f"{self.path.name} cannot be run: {self._told(error)}") from error
        function = self._function_in(module)
        try:
            return function()
        except (Exception, SystemExit) as error:
            raise NetworkError(f"{self.name} raised {self._told(error)}") from error

    def _function_in(self, module: ModuleType) -> Any:
        if self.function not in vars(module):
            functions = [name for name, value in vars(module).items() if inspect.isfunction(value)]
            others = f"; its functions: {', '.join(functions[:10])}" if functions else ""
            raise NetworkError(f"{self.path.name} has no function {self.function!r}{others}")
        function = vars(module)[self.function]
        if not callable(function):
            raise NetworkError(f"{self.name} is a {type(function).__name__}, not a function that returns a keras.Model")
        try:
            inspect.signature(function).bind()
        except TypeError as error:
            raise NetworkError(f"{self.name} must be callable without arguments: {error}") from error
        except ValueError:
            return function  # without a signature, as built-in functions
        return function

    def _told(self, error: BaseException) -> str:
        """The error in one line, with the last line of the user's file in its traceback."""
        lines = [
            frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(self.path)
        ]
        where = f" ({self.path.name}, line {lines[-1]})" if lines else ""
        said = " ".join(str(error).split())[:500]
        return f"{type(error).__name__}{f': {said}' if said else ''}{where}"


def read(network: str) -> Source | None:
    """The file and function that `--network` names; None if it names a built-in network. Raises NetworkError."""
    found = own(network)
    if found is None:
        return None
    path = Path(found[0])
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise NetworkError(f"--network {network}: {path} {what}: expected FILE.py:FUNCTION, for example net.py:build")
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise NetworkError(f"{path.name} is longer than {MAX_BYTES:,} bytes")
    return Source(path, found[1], content)
