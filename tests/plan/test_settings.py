"""Settings as texts."""

from __future__ import annotations

import pytest

from penstock.plan.settings import assignments, assignments_of_line


def test_texts_become_settings() -> None:
    assert assignments(["a.workers=4", "a.edge.memory = 64 MiB"]) == {"a.workers": "4", "a.edge.memory": "64 MiB"}


def test_one_line_holds_several_settings_with_blanks_quoted() -> None:
    assert assignments_of_line("a.workers=4 'a.edge.memory=64 MiB'") == {"a.workers": "4", "a.edge.memory": "64 MiB"}


@pytest.mark.parametrize("text", ["workers=4", "a.workers", ""])
def test_what_is_no_setting_is_told_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"enrich\.workers=4"):
        assignments([text])
