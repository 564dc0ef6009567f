"""Connectors for files: lines, JSON lines, CSV and Parquet, to read and to write."""

from __future__ import annotations

from penstock.connectors.files.csv_files import csv
from penstock.connectors.files.json_files import json_lines
from penstock.connectors.files.line_files import lines
from penstock.connectors.files.parquet_files import parquet
from penstock.connectors.files.partition import by_time
from penstock.connectors.files.spec import FileSource, FileSourceOrSink

__all__ = ["FileSource", "FileSourceOrSink", "by_time", "csv", "json_lines", "lines", "parquet"]
