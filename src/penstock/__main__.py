"""`python -m penstock`: the command line, as the installed `penstock` starts it."""

from __future__ import annotations

from penstock.cli.main import main

if __name__ == "__main__":
    main()
