"""The part of a page that a benchmark writes: the text between two markers. The rest is written by hand."""

from pathlib import Path

END = "<!-- figures: end -->"


class NoMarkers(Exception):
    """The page does not have the markers between which the figures go."""


def spliced(page: str, text: str, begin: str, end: str = END) -> str:
    """`page` with `text` between two markers. Raises NoMarkers."""
    before, found_begin, rest = page.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise NoMarkers(f"the page must have the lines {begin} and {end}")
    return f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}"


def replace_figures(page: Path, text: str, begin: str, end: str = END) -> None:
    """Puts `text` between two markers of the file `page`. Raises NoMarkers."""
    page.write_text(spliced(page.read_text(encoding="utf-8"), text, begin, end), encoding="utf-8")
    print(f"wrote {page.name}")


def last_run(path: Path) -> str:
    """The raw figures of the last run, which are not in git. Exits if there was no run."""
    if not path.exists():
        raise SystemExit(f"{path} does not exist: only a run without --report writes it")
    return path.read_text(encoding="utf-8")
