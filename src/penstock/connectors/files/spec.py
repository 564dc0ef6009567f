"""What all file connectors share: the spec of a file source, and of one that is both source and sink."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar

from penstock.connectors.files import epoch_parts, paths
from penstock.connectors.files import part_files as targets
from penstock.connectors.files.epoch_parts import EpochParts
from penstock.connectors.files.epoch_writer import EpochWriter, PartForm
from penstock.connectors.files.line_reader import RANGE_BYTES
from penstock.connectors.files.packed import packing, require_zstd
from penstock.connectors.files.partition import PartitionBy, folder_of, partition_problems
from penstock.connectors.files.unchanged import Glance
from penstock.errors import ExtraMissing
from penstock.operator import Context
from penstock.options import Size, parse_size
from penstock.sink import Delivery, Sink
from penstock.source import Source
from penstock.working_directory import absolute

T = TypeVar("T")
OnDamaged: TypeAlias = Literal["fail", "skip"]
"""What a file source does about a damaged file."""


@dataclass(frozen=True)
class FileSource(Source[T]):
    """Files to read: a path, a glob, a directory, or several of these."""

    patterns: tuple[str, ...]
    on_damaged: OnDamaged

    kind: ClassVar[str] = "files"
    """The name of the function that makes it."""

    @property
    def divisible(self) -> bool:
        """True: a reader can begin in the middle of a plain file."""
        return False

    @property
    def label(self) -> str:
        return self.kind

    @property
    def target(self) -> str:
        return ", ".join(absolute(path) + ("/" if path.endswith("/") else "") for path in self.patterns)

    @property
    def skips_damaged(self) -> bool:
        return self.on_damaged == "skip"

    @property
    def modules(self) -> Sequence[str]:
        return ("zstandard",) if any(packing(path) == "zst" for path in self.patterns) else ()

    def check_source(self) -> Sequence[str]:
        found = paths.problems(self.patterns, may_be_empty=not self.bounded)
        if self.on_damaged not in ("fail", "skip"):
            found.append(f'on_damaged={self.on_damaged!r} is unknown; it is "fail" or "skip"')
        return found or zstd_problems(paths.expand(self.patterns))

    def stamp(self) -> Any:
        return {path: Glance.of(path).dump for path in paths.expand(self.patterns)}

    def splits(self) -> Mapping[str, Any]:
        """A split per file; large plain files that are `divisible` give one per range."""
        found: dict[str, Any] = {}
        for path in paths.expand(self.patterns):
            found.update(self._parts(path))
        return found

    def _parts(self, path: str) -> dict[str, Any]:
        glance = Glance.of(path)
        about = {"path": absolute(path), "file": glance.dump}
        size = glance.size
        if not self.divisible or packing(path) or size <= RANGE_BYTES:
            return {path: {**about, "start": 0, "end": None}}
        count = -(-size // RANGE_BYTES)
        cuts = [size * number // count for number in range(count)]  # of one size: workers get them in turn
        return {
            f"{path}@{start:015d}": {**about, "start": start, "end": end}
            for start, end in zip(cuts, [*cuts[1:], None], strict=True)
        }


@dataclass(frozen=True)
class FileSourceOrSink(FileSource[T], Sink[Any]):
    """Files to read, or a file or directory to write; `source` or `sink` decides which.

    `label` is the name of the source, `sink_label` that of the sink.
    """

    if_exists: targets.IfExists
    partition_by: PartitionBy | None = field(default=None, kw_only=True)
    waits: bool = field(default=False, kw_only=True)
    """True: rows become visible with checkpoints."""

    suffix: ClassVar[str] = ""
    """How the files of a directory end."""

    @property
    def sink_label(self) -> str:
        """`json_lines-late` for `late.jsonl`."""
        stem = os.path.basename(self.path.rstrip("/")).partition(".")[0].lower()
        word = re.sub(r"[^a-z0-9_-]+", "-", stem).strip("-")
        return f"{self.kind}-{word}" if word else self.kind

    @property
    def path(self) -> str:
        """The one path that a sink writes to."""
        return self.patterns[0] if self.patterns else ""

    @property
    def delivery(self) -> Delivery:
        return Delivery.EXACTLY_ONCE

    @property
    def recovered_delivery(self) -> Delivery:
        return Delivery.EXACTLY_ONCE  # cut back to the checkpoint's position

    @property
    def waits_for_checkpoint(self) -> bool:
        return self.waits

    def at_checkpoint(self) -> FileSourceOrSink[T]:
        return replace(self, waits=True)

    @property
    def claims(self) -> Sequence[str]:
        return (os.path.realpath(self.path),)

    def check_source(self) -> Sequence[str]:
        found = list(super().check_source())
        if self.if_exists != "error":
            found.append(f'if_exists="{self.if_exists}" has no effect on a source; leave it out')
        if self.partition_by is not None:
            found.append("partition_by has no effect on a source; leave it out")
        return found

    def reading_options(self) -> Sequence[str]:
        """Options that are given and mean something to a source only."""
        return ["on_damaged"] if self.on_damaged != "fail" else []

    def check_sink(self) -> Sequence[str]:
        if len(self.patterns) != 1:
            return [f"a sink writes to one path; {len(self.patterns)} were given"]
        if paths.is_glob(self.path):
            return [f"{self.path} is a pattern; a sink writes to one file, or to a directory (a path that ends in /)"]
        useless = [f"{option} has no effect on a sink; leave it out" for option in self.reading_options()]
        return [
            *useless, *self._waiting_problems(), *targets.problems(self.path, self.if_exists),
            *zstd_problems([self.path]),
        ]

    def _waiting_problems(self) -> Sequence[str]:
        if self.waits and not targets.names_directory(self.path):
            return [f'visible="at checkpoint" makes a file with each checkpoint; give a directory: "{self.path}/"']
        if self.partition_by is None:
            return []
        if not self.waits:
            return ['partition_by needs visible="at checkpoint": .sink(..., visible="at checkpoint")']
        return partition_problems(self.partition_by)

    def refuse(self) -> None:
        (epoch_parts if self.waits else targets).refuse(self.path, self.suffix, self.if_exists)

    def prepare(self) -> None:
        (epoch_parts if self.waits else targets).prepare(self.path, self.suffix, self.if_exists)

    def epoch_writer(self, form: PartForm, roll: Size | None, context: Context) -> EpochWriter:
        """For the slot of `context`, where rows become visible with checkpoints."""
        folder = None if self.partition_by is None else folder_of(self.partition_by)
        parts = EpochParts(self.path, self.suffix, context.slot, f"{context.pipeline}.{context.stage}")
        return EpochWriter(parts, form, folder, None if roll is None else parse_size(roll))

    def files(self, context: Context, *, numbered: bool) -> targets.PartFiles:
        """The files that the slot of `context` writes."""
        return targets.PartFiles(self.path, self.suffix, context.slot, context.workers, numbered)


def zstd_problems(files: Sequence[str]) -> list[str]:
    """The package that a file among these needs and that is missing."""
    if any(packing(path) == "zst" for path in files):
        try:
            require_zstd()
        except ExtraMissing as exc:
            return [str(exc)]
    return []
