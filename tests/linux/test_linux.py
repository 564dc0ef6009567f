"""`penstock.linux`: what an import on another system says."""

from __future__ import annotations

import subprocess
import sys

import pytest

from penstock.errors import PenstockError
from penstock.linux import require_linux, require_ordered_stores


@pytest.mark.parametrize("platform", ["darwin", "win32", "freebsd14", "emscripten"])
def test_an_import_on_another_system_names_it_and_says_what_to_use_instead(platform: str) -> None:
    with pytest.raises(ImportError, match=rf"'{platform}'.*container") as caught:
        require_linux(platform)
    assert isinstance(caught.value, PenstockError)


def test_linux_passes() -> None:
    require_linux("linux")


@pytest.mark.parametrize("machine", ["aarch64", "arm64", "armv7l", "riscv64", "ppc64le"])
def test_an_import_on_a_processor_that_reorders_stores_is_refused(machine: str) -> None:
    with pytest.raises(ImportError, match=rf"'{machine}'.*x86-64") as caught:
        require_ordered_stores(machine)
    assert isinstance(caught.value, PenstockError)


@pytest.mark.parametrize("machine", ["x86_64", "AMD64", "amd64"])
def test_x86_64_passes_however_it_is_called(machine: str) -> None:
    require_ordered_stores(machine)


def test_importing_penstock_looks_at_the_processor() -> None:
    code = (
        "import os, sys; real = os.uname(); "
        "os.uname = lambda: os.uname_result((*real[:4], 'aarch64')); import penstock"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "PlatformUnsupported: penstock runs on x86-64 processors only, and this one is 'aarch64'" in done.stderr
