"""Every code block of the README and of docs/ does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import blocks
import click
import pytest

from postgres_server import made_server

DOCUMENTS = sorted([blocks.ROOT / "README.md", *(blocks.ROOT / "docs").glob("*.md")])
PAGES = sorted([*DOCUMENTS, blocks.ROOT / "CONTRIBUTING.md", blocks.ROOT / "CHANGELOG.md"])


def _name(document: Path) -> str:
    return document.name


@pytest.mark.timeout(300)
@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_every_block_of_a_document_runs(document: Path, tmp_path: Path) -> None:
    if document.name == "postgres.md":
        with made_server() as server:
            blocks.Reader(tmp_path, server.environment).work_through(document)
    else:
        blocks.Reader(tmp_path).work_through(document)


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_no_block_escapes_by_its_language(document: Path) -> None:
    assert blocks.unknown_languages(document) == []


@pytest.mark.parametrize("document", PAGES, ids=_name)
def test_links_inside_the_project_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(#[^)\s]*)?\)", document.read_text())
    missing = [link for link, _ in links if "://" not in link and not (document.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("document", PAGES, ids=_name)
def test_anchors_name_a_heading_of_their_page(document: Path) -> None:
    for link, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]*)\)", document.read_text()):
        page = document.parent / link if link else document
        headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
        slugs = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
        assert anchor in slugs, f"{document.name} links to {page.name}#{anchor}"


def test_a_block_that_fails_is_reported_with_its_line(tmp_path: Path) -> None:
    page = _page(tmp_path, "# T\n\n```python\nprint(1)\n```\n\n```python\nraise SystemExit('gone wrong')\n```\n")
    with pytest.raises(AssertionError, match=r"page.md:7: exit code 1\ngone wrong"):
        blocks.Reader(tmp_path).work_through(page)


def test_later_blocks_see_the_files_of_earlier_ones(tmp_path: Path) -> None:
    page = _page(tmp_path, "```python\n# one.py\nx = 41\n```\n\n"
                           "```console\n$ python -c 'import one; print(one.x + 1)'\n42\n```\n")
    blocks.Reader(tmp_path).work_through(page)
    assert (tmp_path / "one.py").exists()


def test_output_that_is_not_shown_as_it_comes_fails(tmp_path: Path) -> None:
    page = _page(tmp_path, "```console\n$ echo 3 rows\n4 rows\n```\n")
    with pytest.raises(AssertionError, match="`echo 3 rows` printed"):
        blocks.Reader(tmp_path).work_through(page)


def test_a_preparation_in_a_comment_is_run_too(tmp_path: Path) -> None:
    page = _page(tmp_path, "<!-- invisible-code-block: python\nopen('made', 'w').close()\n-->\n")
    blocks.Reader(tmp_path).work_through(page)
    assert (tmp_path / "made").exists()


def test_a_language_without_a_rule_is_found(tmp_path: Path) -> None:
    assert blocks.unknown_languages(_page(tmp_path, "```python\n1\n```\n```bash\nls\n```\n")) == ["bash"]


@pytest.mark.parametrize(
    ("expected", "shown"),
    [("b ... d\n", True), ("a\nb c d\n", True), ("b c d\na\n", False), ("c\n", False), ("", True)],
)
def test_shown_lines_stand_in_the_output_in_order(expected: str, shown: bool) -> None:
    assert blocks.shows("a\n  b   c d\n", expected) is shown


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("go fast --how=far", None),
        ("go fast --how near x.py", None),
        ("go fast --how up", "--how takes near, far"),
        ("go fast --why", "fast has no flag --why"),
        ("go slow", "go has no command slow"),
        ("stay", "main has no command stay"),
    ],
)
def test_commands_and_flags_of_shell_blocks_are_checked(line: str, problem: str | None) -> None:
    fast = click.Command("fast", params=[click.Option(["--how"], type=click.Choice(["near", "far"]))])
    main = click.Group("main", commands=[click.Group("go", commands=[fast])])
    assert blocks.problem_of_command(main, line.split()) == problem


def _page(directory: Path, text: str) -> Path:
    page = directory / "page.md"
    page.write_text(text)
    return page
