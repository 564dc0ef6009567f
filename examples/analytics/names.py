"""The pipeline's name, by which dead letters and the command line find it."""

from __future__ import annotations

NAME = "analytics"
