"""The log: text for people on a terminal, one JSON object per line for everything else."""

import json
import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def visible(text: str) -> str:
    """The text with control characters and line ends as escape sequences."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """The fields that the code passed as `extra`."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


class JsonFormatter(logging.Formatter):
    """One JSON object for each record: time (UTC, ISO 8601), level, logger, message, and the record's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """Time, level, message, and the record's own fields as name=value.

    A record is one line, and the lines of a traceback are indented. So text from callers cannot look like a record of
    its own, and cannot control the terminal.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the standard library's name
        extra = "".join(f"  {name}={value}" for name, value in _fields(record).items())
        return visible(super().formatMessage(record) + extra)

    def formatException(self, ei: ExceptionInfo) -> str:  # noqa: N802 - the standard library's name
        lines = super().formatException(ei).splitlines()
        return "\n".join(f"    {visible(line)}" for line in lines)


def configure(level: str, style: str, fields: Mapping[str, object]) -> None:
    """Sends every record of at least `level` to standard error; `style` is "auto", "text" or "json".

    gRPC's own lines, one for every failed handshake, are left out: anyone could fill the log with them.

    fields  fields that are added to every record
    """
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    handler = logging.StreamHandler()
    handler.addFilter(lambda record: vars(record).update(fields) is None)
    handler.setFormatter(JsonFormatter() if is_json(style) else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def is_json(style: str) -> bool:
    """Whether `style` means JSON here."""
    return style == "json" or (style == "auto" and not sys.stderr.isatty())
