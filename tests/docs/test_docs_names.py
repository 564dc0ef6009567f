"""Files and tests that the pages for contributors name exist, so a rename that forgets a page is noticed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("ARCHITECTURE.md", "CONTRIBUTING.md", "tests/README.md")
ROOMS = {path.name for path in (ROOT / "src/penstock").iterdir() if path.is_dir()} | {"tests", "bench"}
EXAMPLES = {"utils.py", "operators/map_values.py", "tests/operators/test_map_values.py"}
"""Files that must not exist: what is turned down, and the verb that CONTRIBUTING.md adds."""


def _alternatives(text: str) -> Iterator[str]:
    """`a/{b,c}` names `a/b` and `a/c`."""
    braces = re.search(r"\{([^{}]*)\}", text)
    if braces is None:
        yield text
        return
    for one in braces[1].split(","):
        yield from _alternatives(text[: braces.start()] + one + text[braces.end() :])


def _named_files(page: str) -> set[str]:
    quoted = re.findall(r"`([\w./{},-]+)`", page)
    names = {name.rstrip("/") for text in quoted for name in _alternatives(text)}
    return {name for name in names if re.search(r"\w\.py$", name) or ("/" in name and name.split("/")[0] in ROOMS)}


def _exists(name: str) -> bool:
    """A file's own name is enough; a path begins at the root, at the package, or anywhere below it."""
    wanted = ("/" + name, "/" + name + ".py")
    found = (path for top in ("src", "tests", "bench") for path in (ROOT / top).rglob("*"))
    return (ROOT / name).exists() or any(str(path).endswith(wanted) for path in found)


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_exists(page: str) -> None:
    named = _named_files((ROOT / page).read_text()) - EXAMPLES
    assert len(named) > 3
    assert sorted(name for name in named if not _exists(name)) == []


def test_every_test_that_the_tables_of_traps_name_exists() -> None:
    named = re.findall(r"`(\w+)/(\w+)::(\w+)`", (ROOT / "tests/README.md").read_text())
    assert len(named) > 40
    missing = []
    for folder, module, test in named:
        if (folder, module, test) == ("folder", "file", "test"):
            continue  # how the page says that tests are written
        path = ROOT / "tests" / folder / f"test_{module}.py"
        if not path.exists() or not re.search(rf"def test_{test}\(", path.read_text()):
            missing.append(f"{folder}/{module}::{test}")
    assert missing == []
