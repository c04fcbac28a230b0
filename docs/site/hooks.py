"""What MkDocs calls while it builds the site: it adds the repository's pages where they are, and the navigation.

The pages keep their paths (`README.md`, `docs/operating.md`, …), so that the links between them hold on the site
as they do in the repository. A file that a page links to is part of the site too.
"""

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
START = "README.md"
INDEX = "docs/README.md"
REFERENCE = Path(os.environ["DIGITS_DOCS_REFERENCE"])
"""Folder of the pages that rest.py and protos.py wrote."""


def on_config(config: Any) -> Any:
    """The sections of the index page are those of the navigation, and the reference comes after them."""
    sections: list[Any] = []
    seen = {START, INDEX}
    for title, text in re.findall(r"^## (.*)\n((?:(?!^## ).*\n)*)", _text(INDEX), re.MULTILINE):
        pages: list[Any] = []
        for page in (each for each in _pages_of(INDEX, text) if each not in seen):
            inner = [each for each in _pages_of(page) if each not in seen and _is_below(each, page)]
            pages.append({_title(page): [page, *inner]} if inner else page)
            seen |= {page, *inner}
        sections.append({title: pages})
    listed = {"Reference": ["reference/client.md", "reference/rest.md", "reference/protos.md"]}
    rest = [page for page in _reachable() if page not in seen]
    config.nav = [START, INDEX, *sections, listed, {"Other pages": rest}]
    return config


def on_files(files: Files, *, config: Any) -> Files:
    """Adds every page that can be reached from the start, and every file that one of them links to."""
    pages = _reachable()
    linked = {path for page in pages for path in _links_of(page, _text(page)) if (ROOT / path).is_file()}
    for path in [*pages, *sorted(linked - set(pages))]:
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    for written in sorted(REFERENCE.glob("*.md")):
        files.append(File.generated(config, f"reference/{written.name}", abs_src_path=str(written)))
    return files


def _is_below(page: str, index: str) -> bool:
    """Whether a page is in the folder of an index, such as a decision of the list of decisions."""
    return index.endswith("/README.md") and page.startswith(index.removesuffix("README.md"))


def _reachable() -> list[str]:
    """The pages that links lead to, from the start; in the order in which they are found."""
    found = [START]
    for page in found:
        found += [each for each in _pages_of(page) if each not in found]
    return found


def _pages_of(page: str, text: str | None = None) -> list[str]:
    """The pages that a page links to, each once."""
    return [each for each in dict.fromkeys(_links_of(page, text or _text(page))) if each.endswith(".md")]


def _links_of(page: str, text: str) -> list[str]:
    """The files of the repository that a text of this page links to."""
    without_code = re.sub(r"`[^`]*`", "", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE))
    targets = re.findall(r"\]\(([^)\s#]+)[^)]*\)", without_code)
    paths = [os.path.normpath(Path(page).parent / each) for each in targets if "://" not in each and ":" not in each]
    return [path for path in paths if not path.startswith("..")]


def _title(page: str) -> str:
    return _text(page).partition("\n")[0].removeprefix("# ")


def _text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")
