"""Settings as texts, of `--set` and of the environment."""

from __future__ import annotations

import pytest

from penstock.cli.settings import VARIABLE, SettingUnreadable, gather


def test_texts_become_settings() -> None:
    found = gather({}, ["a.workers=4", "a.edge.memory = 64 MiB"])
    assert found == {"a.workers": "4", "a.edge.memory": "64 MiB"}


def test_the_variable_holds_several_settings_with_blanks_quoted() -> None:
    found = gather({VARIABLE: "a.workers=4 'a.edge.memory=64 MiB'"}, [])
    assert found == {"a.workers": "4", "a.edge.memory": "64 MiB"}


def test_what_is_given_wins_over_the_environment() -> None:
    assert gather({VARIABLE: "a.workers=4"}, ["a.workers=5"]) == {"a.workers": "5"}


@pytest.mark.parametrize("text", ["workers=4", "a.workers", "a.workers="])
@pytest.mark.parametrize("of_environment", [True, False])
def test_what_is_not_a_setting_is_reported_with_its_place_and_an_example(text: str, of_environment: bool) -> None:
    environment, given = ({VARIABLE: text}, []) if of_environment else ({}, [text])
    with pytest.raises(SettingUnreadable, match=r"enrich\.workers=4") as caught:
        gather(environment, given)
    assert (VARIABLE if of_environment else "--set") in str(caught.value)


def test_a_quote_that_is_not_closed_is_told() -> None:
    with pytest.raises(SettingUnreadable, match="No closing quotation"):
        gather({VARIABLE: "a.workers='4"}, [])
