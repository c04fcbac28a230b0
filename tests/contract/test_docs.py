"""The documentation: every page is reachable, every link has a target, every page says who it is for."""

import re
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INDEX = ROOT / "docs/README.md"
PAGES = sorted((ROOT / "docs").glob("*.md")) + sorted((ROOT / "docs").glob("*/README.md"))
DECISIONS = sorted((ROOT / "docs/decisions").glob("0*.md"))
FOLDERS = ("proto", "training", "server", "client", "docs", "tests", "benchmarks", "deploy", "requirements")
README_LINES = 90


def markdown() -> list[Path]:
    """Every Markdown file of the project; environments and caches, whose names begin with a dot, are left out."""
    found = chain(ROOT.glob("*.md"), *((ROOT / folder).rglob("*.md") for folder in FOLDERS))
    skipped = ("node_modules", "build")
    of_the_site = ROOT / "docs/site/pages"  # their links work on the built site only, where `make docs` checks them
    return sorted(
        path
        for path in found
        if of_the_site not in path.parents
        and not any(part.startswith(".") or part in skipped for part in path.relative_to(ROOT).parts)
    )


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def links(page: Path) -> list[str]:
    """The targets of all links and images that point into the project."""
    found = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", prose(page)))
    return [link for link in found if "://" not in link and not link.startswith("mailto:")]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    words = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", text).replace(" ", "-") for text in words}


def target(page: Path, link: str) -> Path:
    path = link.partition("#")[0]
    return (page.parent / path).resolve() if path else page


@pytest.mark.parametrize("page", markdown(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in links(page):
        path = target(page, link)
        assert path.exists(), link
        anchor = link.partition("#")[2]
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path), link


def test_every_page_is_reachable_from_the_index() -> None:
    reached: set[Path] = set()
    waiting = [INDEX]
    while waiting:
        page = waiting.pop()
        if page not in reached:
            reached.add(page)
            waiting += [path for link in links(page) if (path := target(page, link)).suffix == ".md" and path.exists()]
    assert {page for page in (*PAGES, *DECISIONS) if page not in reached} == set()


def test_the_index_itself_names_every_page() -> None:
    named = {target(INDEX, link) for link in links(INDEX)}
    assert [page.name for page in PAGES if page not in {*named, INDEX}] == []


def test_the_readme_leads_to_the_index_and_is_short() -> None:
    readme = ROOT / "README.md"
    assert INDEX in {target(readme, link) for link in links(readme)}
    assert len(readme.read_text().splitlines()) < README_LINES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_names_its_readers_first(page: Path) -> None:
    _, first, *_ = page.read_text(encoding="utf-8").split("\n\n")
    assert first.startswith("For ")


@pytest.mark.parametrize("page", markdown(), ids=lambda page: str(page.relative_to(ROOT)))
def test_pip_is_never_told_to_fetch_a_package_of_ours_by_its_name(page: Path) -> None:
    """We publish on no public index: a package there with such a name is a stranger's."""
    for command in re.findall(r"pip install ([^`\n]*)", page.read_text(encoding="utf-8")):
        named = [word.strip("'\"") for word in command.split()]
        assert not [word for word in named if word.startswith("digits")], command
        if any(word.startswith(("./client", "./server", "./training")) for word in named):
            assert "./proto" in named, command


def test_the_decisions_are_listed_by_their_titles() -> None:
    listed = (ROOT / "docs/decisions/README.md").read_text(encoding="utf-8")
    for page in DECISIONS:
        title = page.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        assert f"[{page.name[:4]}]({page.name}): {title}" in listed


def test_the_glossary_has_a_sentence_and_a_page_for_each_word() -> None:
    rows = [line for line in (ROOT / "docs/glossary.md").read_text(encoding="utf-8").splitlines() if line[:2] == "| "]
    words = [re.split(r" ?\| ?", row)[1:4] for row in rows[1:]]
    assert len(words) >= 20
    assert [word for word, _, _ in words] == sorted(word for word, _, _ in words)
    for word, meaning, more in words:
        assert word
        assert meaning.endswith((".", "…"))
        assert re.fullmatch(r"\[[^\]]+\]\([^)]+\)", more)
