"""Makes a virtual environment for each peer, so that their dependencies do not meet.

    python bench/peers/environments.py [NAME ...] [--all] [--folder FOLDER]

Needs CPython 3.11 (not every peer has packages for later ones) and about 4 GB. What is there already stays.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import venv
from pathlib import Path

DEFAULT_FOLDER = Path(__file__).resolve().parents[1] / ".envs"

PACKAGES = {
    "plain": ("msgspec==0.22.0", "orjson==3.13.0"),
    "columnar": ("duckdb==2.0.0", "numpy==2.4.6", "orjson==3.13.0", "polars==2.1.0", "pyarrow==26.0.1"),
    "pypeln": ("orjson==3.13.0", "pypeln==0.4.9", "setuptools==80.9.0"),  # its stopit needs pkg_resources
    "bytewax": ("bytewax==0.21.1", "orjson==3.13.0"),
    "pathway": ("orjson==3.13.0", "pathway==0.33.0"),
    "raydata": ("orjson==3.13.0", "ray[data]==2.60.0"),
}
MORE_PACKAGES = {
    "mpipe": ("mpipe==1.0.8", "orjson==3.13.0"),
    "streamz": ("orjson==3.13.0", "streamz==0.6.6"),
    "beam": ("apache-beam==2.77.0", "orjson==3.13.0"),
    "flink": ("apache-flink==2.3.0", "orjson==3.13.0"),  # and Java 17
}
"""Made with `--all` only."""


def folder() -> Path:
    """Where the environments are."""
    return Path(os.environ.get("PENSTOCK_BENCH_ENVS") or DEFAULT_FOLDER)


def python_of(name: str) -> Path:
    """The interpreter of a peer's environment."""
    return folder() / name / "bin" / "python"


def make(name: str, packages: tuple[str, ...], place: Path) -> None:
    """Make one environment, unless it is there."""
    ready = place / name / ".ready"
    if ready.exists():
        print(f"{name}: is there")
        return
    print(f"{name}: installing {', '.join(packages)}", flush=True)
    venv.create(place / name, clear=True, with_pip=True)
    pip = [str(place / name / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "install", *packages], check=True)
    ready.touch()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join([*PACKAGES, *MORE_PACKAGES]))
    parser.add_argument("--all", action="store_true", help="with " + ", ".join(MORE_PACKAGES))
    parser.add_argument("--folder", type=Path, default=folder(), help="default: PENSTOCK_BENCH_ENVS or bench/.envs")
    given = parser.parse_args()
    known = {**PACKAGES, **MORE_PACKAGES}
    if strangers := set(given.names) - set(known):
        parser.error(f"unknown: {', '.join(sorted(strangers))}; there are {', '.join(known)}")
    if sys.version_info[:2] != (3, 11):
        print(f"this is Python {sys.version.split()[0]}: some peers may not install", file=sys.stderr)
    for name in given.names or (known if given.all else PACKAGES):
        make(name, known[name], given.folder)


if __name__ == "__main__":
    main()
