"""`penstock.linux`: what an import on another system says."""

from __future__ import annotations

import pytest

from penstock.errors import PenstockError
from penstock.linux import require_linux


@pytest.mark.parametrize("platform", ["darwin", "win32", "freebsd14", "emscripten"])
def test_an_import_on_another_system_names_it_and_says_what_to_use_instead(platform: str) -> None:
    with pytest.raises(ImportError, match=rf"'{platform}'.*container") as caught:
        require_linux(platform)
    assert isinstance(caught.value, PenstockError)


def test_linux_passes() -> None:
    require_linux("linux")
