"""Tables of docs/ name what there is, no more and no less."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from penstock.cli.exit_codes import ExitCode
from penstock.cli.main import COMMANDS
from penstock.options import Edge, StageOptions

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def _first_cells(page: Path, heading: str) -> list[str]:
    """The first column of the table whose head begins with `heading`."""
    [table] = re.findall(rf"^\| {heading} \|.*\n\|[-|]+\n((?:\|.*\n)+)", page.read_text(), re.MULTILINE)
    return [row.split("|")[1].strip() for row in table.splitlines()]


def _names(cells: list[str]) -> set[str]:
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def test_every_exit_code_is_documented() -> None:
    assert _first_cells(DOCS / "operating.md", "code") == [str(int(code)) for code in ExitCode]


def test_every_option_of_a_stage_is_documented() -> None:
    assert _names(_first_cells(DOCS / "concepts.md", "stage option")) == set(StageOptions.__annotations__)


def test_every_option_of_an_edge_is_documented() -> None:
    # How a queue behaves when it is full has one answer so far.
    fields = set(Edge.__struct_fields__) - {"when_full"}
    assert _names(_first_cells(DOCS / "concepts.md", "edge option")) == fields


def test_defaults_of_an_edge_are_the_documented_ones() -> None:
    page = (DOCS / "concepts.md").read_text()
    edge = Edge()
    for name in ("memory", "route", "batch_rows", "linger"):
        value = getattr(edge, name)
        written = f'"{value}"' if isinstance(value, str) else str(value)
        assert f"| `{name}` | `{written}` |" in page


def test_every_variable_that_the_command_line_reads_is_documented() -> None:
    read = {name for file in (ROOT / "src/penstock/cli").glob("*.py")
            for name in re.findall(r'"(PENSTOCK_[A-Z_]+)"', file.read_text())}
    assert _names(_first_cells(DOCS / "operating.md", "variable")) == read


def test_every_command_is_documented() -> None:
    text = "".join(page.read_text() for page in [ROOT / "README.md", *DOCS.glob("*.md")])
    assert [name for name in COMMANDS if f"penstock {name}" not in text and f"`{name}`" not in text] == []


def test_every_extra_is_named_in_the_readme() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    readme = (ROOT / "README.md").read_text()
    assert [extra for extra in extras if f"`{extra}`" not in readme] == []
