"""A killed run to damage, made once for the tests that need one."""

from __future__ import annotations

import pytest
from damage_kit import Stand


@pytest.fixture(scope="session")
def killed_run(tmp_path_factory: pytest.TempPathFactory) -> Stand:
    stand = Stand(tmp_path_factory.mktemp("killed"))
    stand.fill_and_kill()
    return stand


@pytest.fixture
def stand(killed_run: Stand) -> Stand:
    """What the killed run left, whole."""
    killed_run.restore()
    return killed_run
