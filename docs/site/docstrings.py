"""Turns the tables of our docstrings into Markdown lists, for the reference of the client.

In a docstring a parameter is a line of its own, its name two spaces or more before its text:

    target   host:port, …
             more of the same
    timeout  seconds a call may take
"""

import re
from typing import Any

import griffe

ROW = re.compile(r"^(?P<name>[a-z_]+) {2,}(?P<text>\S.*(?:\n {4,}\S.*)*)$", re.MULTILINE)


def listed(docstring: str) -> str:
    """The docstring with its tables as lists."""
    items = ROW.sub(lambda row: f"- **{row['name']}**: {' '.join(row['text'].split())}", docstring)
    return re.sub(r"^(?!- )(.+)\n(?=- \*\*)", r"\1\n\n", items, flags=re.MULTILINE)


class Tables(griffe.Extension):  # type: ignore[misc]  # griffe is in the environment of the site alone
    """Applies `listed` to every docstring that is loaded."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = listed(obj.docstring.value)
