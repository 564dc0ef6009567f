"""What users build with: `Pipeline`, `Stream`. Every call is recorded with its line; nothing runs before `run`.

This module is above the planner, which turns the recorded calls into a plan, and the engine, which runs the plan.
Both are imported where they are called: building needs neither, and `import penstock` must be quick. So are the verbs
that keep state, which most pipelines have no use for.
"""

from __future__ import annotations

import linecache
import warnings
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, Self, TypeAlias, TypeGuard, TypeVar, Unpack, overload

from penstock.batch import Columns
from penstock.endpoints import as_sink, as_source
from penstock.errors import Mistake, PenstockError
from penstock.event_time import Unit
from penstock.graph.event_times import event_time_of
from penstock.graph.graph import (
    DEFAULT_EDGE,
    BroadcastCall,
    Call,
    Graph,
    KeyByCall,
    MergeCall,
    OperatorCall,
    SinkCall,
    SourceCall,
    StageCall,
    Where,
)
from penstock.graph.recorder import Recorder, calling_line
from penstock.names import did_you_mean
from penstock.operator import KeyProcess, RowOperator
from penstock.operators.event_time import EventTime, Field
from penstock.operators.filter import Filter
from penstock.operators.flat_map import FlatMap
from penstock.operators.map import Map
from penstock.operators.map_batches import MapBatches
from penstock.operators.map_many import MapMany
from penstock.operators.parse_json import ParseJson
from penstock.operators.verb import Operator
from penstock.operators.windowed.aggregate import Aggregate, CountAggregate
from penstock.operators.windowed.changes import Change
from penstock.operators.windowed.late import Late
from penstock.operators.windowed.rank import RankRows
from penstock.operators.windowed.window_rows import Ranked, WindowResult
from penstock.operators.windowed.windowed_operator import WindowOptions
from penstock.options import Duration, Edge, StageOptions, Visible
from penstock.plan.printable import PrintablePlan as Plan
from penstock.program import being_imported
from penstock.report import Report
from penstock.signatures.annotations import columns_taken_by
from penstock.sink import Sink
from penstock.source import Source
from penstock.terminal_text import visible_lines
from penstock.windows.aggregations.aggregation import Aggregation
from penstock.windows.aggregations.folded import Folded
from penstock.windows.aggregations.kept import Collect, TopK
from penstock.windows.aggregations.own import Accumulator
from penstock.windows.window import ProcessingTime, Window, processing_time

if TYPE_CHECKING:
    from penstock.checkpoint_options import CheckpointOptions
    from penstock.engine.handle import Handle
    from penstock.engine.results import Results
    from penstock.lookup_table import LookupTable
    from penstock.operators.joined.two_streams import TwoStreams
    from penstock.plan.planner import Examined

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
K_co = TypeVar("K_co", covariant=True)
K = TypeVar("K")
R = TypeVar("R")
C = TypeVar("C", bound=Columns)
S = TypeVar("S")

Row: TypeAlias = dict[str, Any]
"""A row whose fields are not declared in a class."""

_warned: dict[str | tuple[str, type[Warning], int], int] = {}
"""What was warned of in this process, as a module's `__warningregistry__`: a pipeline is examined more than once."""

_NO_TABLES: Mapping[str, Any] = {}
_NO_SETTINGS: Mapping[str, object] = {}


class Stream(Generic[T_co]):
    """A stream of rows: a value, made by `Pipeline.source`. If it is used twice, every row goes both ways."""

    __slots__ = ("_number", "_recorder")

    def __init__(self, recorder: Recorder, number: int) -> None:
        """Used only by the methods below; users get streams from `Pipeline.source`."""
        self._recorder = recorder
        self._number = number

    if not TYPE_CHECKING:  # for type checkers, these are not there

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("_") or not hasattr(KeyedStream, name):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
            raise AttributeError(_without_key(self._recorder, self._number, name), name=name, obj=self)

    def stage(self, name: str, *, edge: Edge = DEFAULT_EDGE, **options: Unpack[StageOptions]) -> Stream[T_co]:
        """Open a stage: the operators after it run in their own worker processes, behind a queue."""
        where = calling_line(1)
        given = _options("stage", options, edge)
        return Stream(self._recorder, self._add(StageCall(where, self._number, name, edge, given)))

    @overload
    def map(self, fn: type[RowOperator[T_co, Awaitable[R]]]) -> Stream[R]: ...
    @overload
    def map(self, fn: type[RowOperator[T_co, R]]) -> Stream[R]: ...
    @overload
    def map(self, fn: Callable[[T_co], Awaitable[R]]) -> Stream[R]: ...
    @overload
    def map(self, fn: Callable[[T_co], R]) -> Stream[R]: ...
    def map(self, fn: Any) -> Stream[Any]:
        """Return one row for each row. With `async def`, `concurrency` rows are in flight at once, in order."""
        where = calling_line(1)
        return self._then(where, Map(fn, str(where)))

    @overload
    def filter(self, fn: Callable[[T_co], TypeGuard[R]]) -> Stream[R]: ...
    @overload
    def filter(self, fn: Callable[[T_co], bool] | type[RowOperator[T_co, bool]]) -> Stream[T_co]: ...
    def filter(self, fn: Any) -> Stream[Any]:
        """Keep the rows for which `fn(row)` is true."""
        where = calling_line(1)
        return self._then(where, Filter(fn, str(where)))

    @overload
    def flat_map(self, fn: type[RowOperator[T_co, Iterable[R]]]) -> Stream[R]: ...
    @overload
    def flat_map(self, fn: Callable[[T_co], Iterable[R]]) -> Stream[R]: ...
    def flat_map(self, fn: Any) -> Stream[Any]:
        """Return any number of rows for each row: all that `fn(row)` returns, or none if it raises half-way."""
        where = calling_line(1)
        return self._then(where, FlatMap(fn, str(where)))

    @overload
    def map_many(
        self, fn: type[RowOperator[list[T_co], Sequence[R]]], *, rows: int | None = None, wait: Duration | None = None
    ) -> Stream[R]: ...
    @overload
    def map_many(
        self, fn: Callable[[list[T_co]], Sequence[R]], *, rows: int | None = None, wait: Duration | None = None
    ) -> Stream[R]: ...
    def map_many(self, fn: Any, *, rows: int | None = None, wait: Duration | None = None) -> Stream[Any]:
        """Take a list of rows and return as many results, as suits a model that works in batches.

        A call receives the rows that are waiting. `rows` limits how many; `wait` says how long the stage waits to
        collect that many.
        """
        where = calling_line(1)
        return self._then(where, MapMany(fn, str(where), rows, wait))

    @overload
    def map_batches(
        self, fn: Callable[[C], Columns] | type[RowOperator[C, Columns]], *, rows: int | None = None,
        wait: Duration | None = None,
    ) -> Stream[Row]: ...
    @overload
    def map_batches(
        self, fn: Callable[[C], Columns] | type[RowOperator[C, Columns]], *, type: type[R], rows: int | None = None,
        wait: Duration | None = None,
    ) -> Stream[R]: ...
    def map_batches(
        self, fn: Any, *, type: Any = Row, rows: int | None = None, wait: Duration | None = None
    ) -> Stream[Any]:
        """Take columns and return columns: Arrow, polars or pandas, according to the annotation of the argument.

        The number of rows may change; batch boundaries mean nothing. `type` is the type of a row afterwards. `rows`
        and `wait` are those of `map_many`.
        """
        where = calling_line(1)
        return self._then(where, MapBatches(fn, str(where), rows, wait, columns_taken_by(fn) or "", type))

    @overload
    def sql(
        self, query: str, *, tables: Mapping[str, Source[Any] | Sequence[Any]] = _NO_TABLES, rows: int | None = None,
        wait: Duration | None = None,
    ) -> Stream[Row]: ...
    @overload
    def sql(
        self, query: str, *, type: type[R], tables: Mapping[str, Source[Any] | Sequence[Any]] = _NO_TABLES,
        rows: int | None = None, wait: Duration | None = None,
    ) -> Stream[R]: ...
    def sql(
        self, query: str, *, type: Any = Row, tables: Mapping[str, Any] = _NO_TABLES, rows: int | None = None,
        wait: Duration | None = None,
    ) -> Stream[Any]:
        """Select from each batch of rows, which is the table `batch`: `sql("SELECT url, ms / 1000 AS s FROM batch")`.

        It may be joined with `tables`: sources or lists, which each worker loads once. DuckDB runs the query, which is
        checked when the pipeline is built: its syntax, and its columns where all rows have types. A batch is any number
        of rows that wait, so what is computed of several rows is refused: totals are `key_by(...).window(...)`. `type`
        is the type of a row afterwards; `rows` and `wait` are those of `map_many`. Needs `penstock[duckdb]`.
        """
        from penstock.operators.queried.sql import Sql

        where = calling_line(1)
        given = tuple((name, as_source(table)) for name, table in tables.items())
        return self._then(where, Sql(None, str(where), rows, wait, query, type, given))

    @overload
    def parse_json(self: Stream[str | bytes]) -> Stream[Any]: ...
    @overload
    def parse_json(self: Stream[str | bytes], type: type[R]) -> Stream[R]: ...
    @overload
    def parse_json(self: Stream[str | bytes], type: UnionType) -> Stream[Any]: ...
    def parse_json(self: Stream[str | bytes], type: Any = Any) -> Stream[Any]:
        """Decode each row, which is one JSON document, and check it against `type`."""
        where = calling_line(1)
        return self._then(where, ParseJson(None, str(where), type))

    def event_time(
        self, time: str | Callable[[T_co], datetime | float], *, disorder: Duration = 0.0,
        idle_after: Duration | None = None, unit: Unit = "s",
    ) -> Self:
        """Say when what a row tells of happened: by a field, or by a function of the row. Rows are passed on.

        A time is a `datetime` with its time zone, or a number of `unit`s since 1970. Rows come in the order of their
        times, apart from `disorder`: whatever comes later than that is late. An input (a split of the source, or a
        sender) is waited for however long it has nothing, or for `idle_after`. Write it in the stage of the source.
        """
        where = calling_line(1)
        fn = Field(time) if isinstance(time, str) else time
        operator = EventTime(fn, str(where), disorder, idle_after, unit)
        return self._again(self._add(OperatorCall(where, self._number, operator)))

    @overload
    def lookup(
        self, table: Source[R] | LookupTable[R] | Sequence[R], *, on: str | Callable[[R], Any],
        key: str | Callable[[T_co], Any] | None = None, how: Literal["inner"] = "inner",
        reload: Duration | None = None,
    ) -> Stream[tuple[T_co, R]]: ...
    @overload
    def lookup(
        self, table: Source[R] | LookupTable[R] | Sequence[R], *, on: str | Callable[[R], Any],
        key: str | Callable[[T_co], Any] | None = None, how: Literal["left"], reload: Duration | None = None,
    ) -> Stream[tuple[T_co, R | None]]: ...
    def lookup(
        self, table: Any, *, on: Any, key: Any = None, how: Any = "inner", reload: Duration | None = None
    ) -> Stream[Any]:
        """Give pairs of a row and the row of `table` that has its key: `lookup(files.csv("users.csv", User), on="id")`.

        `on` is the key of the table's rows, a field or a function; `key` that of this stream's rows: without it, the
        field that `on` names. With `how="left"`, a row whose key is not in the table is
        given with None; otherwise it is not given. No two rows of a table have one key.

        A source or list is loaded whole by each worker when it begins. With `reload="10s"`, the worker looks every 10 s
        whether the files have changed, and loads them again; what is no file is loaded again each time. A database is
        asked for the keys of many rows at once: `postgres.lookup_table`, `duckdb.lookup_table`, `sqlite.lookup_table`.
        """
        where = calling_line(1)
        return self._then(where, _table_lookup(where, table, on, key, how, reload))

    @overload
    def key_by(self, key: str) -> KeyedStream[Any, T_co]: ...
    @overload
    def key_by(self, key: Callable[[T_co], K]) -> KeyedStream[K, T_co]: ...
    def key_by(self, key: Any) -> KeyedStream[Any, T_co]:
        """Send rows with equal keys to the same worker of this stage. Comes first in it. A string names a field."""
        where = calling_line(1)
        return KeyedStream(self._recorder, self._add(KeyByCall(where, self._number, key)), key)

    def broadcast(self) -> Stream[T_co]:
        """Send every row to every worker of this stage. Comes first in it."""
        where = calling_line(1)
        return Stream(self._recorder, self._add(BroadcastCall(where, self._number)))

    @overload
    def merge(self, other: Stream[R], /) -> Stream[T_co | R]: ...
    @overload
    def merge(self, other: Stream[R], another: Stream[S], /) -> Stream[T_co | R | S]: ...
    @overload
    def merge(self, /, *others: Stream[R]) -> Stream[T_co | R]: ...
    def merge(self, /, *others: Stream[Any]) -> Stream[Any]:
        """Merge the rows of all streams, in no particular order. Opens no stage: `.stage` or `.sink` must follow."""
        where = calling_line(1)
        if not others or not all(isinstance(other, Stream) for other in others):
            raise TypeError("merge() takes one or more streams")
        own = [other._number for other in others if other._recorder is self._recorder]
        if len(own) < len(others):
            self._recorder.strangers.append(where)
        return Stream(self._recorder, self._add(MergeCall(where, (self._number, *own))))

    def sink(
        self,
        sink: Sink[T_co] | Callable[[T_co], object],
        *,
        name: str | None = None,
        fused: bool = False,
        visible: Visible = "at once",
        edge: Edge = DEFAULT_EDGE,
        **options: Unpack[StageOptions],
    ) -> None:
        """End the stream in a connector, in `print`, or in a function that is called with each row.

        Opens a stage of its own. With `fused=True`, the stream's own stage writes the rows, and has no other output.
        With `visible="at checkpoint"`, rows become visible in the sink once a checkpoint covers them, so not even the
        loss of the machine takes them back or repeats them; the run needs `checkpoint=`, and the sink must be able to
        wait: tables of DuckDB, SQLite and PostgreSQL can, and folders of JSON lines, CSV and Parquet files.
        """
        where = calling_line(1)
        given = _options("sink", options, edge)
        meaning = as_sink(sink, str(where), visible)
        self._add(SinkCall(where, self._number, sink, meaning, name, fused, edge, given, visible))

    def results(
        self,
        *,
        settings: Mapping[str, object] = _NO_SETTINGS,
        fresh: bool = False,
        run_dir: Path | str | None = None,
        state_dir: Path | str | None = None,
    ) -> Results[T_co]:
        """Start a run, including the other sinks, and read the rows of this stream here. Closing the results stops it.

        Raises `AlreadyRunning` while earlier results of the pipeline are open: neither closed, lost nor exhausted.
        """
        where = calling_line(1)
        _refuse_while_imported("results", where)
        from penstock.engine.early_supervisor import started_early

        with started_early(self._recorder.pipeline, run_dir, state_dir) as early:
            graph = self._recorder.graph_with_results(self._number, where)
            plan = _planned(graph, settings)
            self._recorder.need_no_sink.add(self._number)
            from penstock.engine import engine

            return engine.results(plan, fresh=fresh, run_dir=run_dir, state_dir=state_dir, early=early)

    def _again(self, number: int) -> Self:
        """The stream of a call that passes its rows on as they are."""
        return type(self)(self._recorder, number)

    def _then(self, where: Where, operator: Operator) -> Stream[Any]:
        return Stream(self._recorder, self._add(OperatorCall(where, self._number, operator)))

    def _add(self, call: Call) -> int:
        return self._recorder.add(call)


class KeyedStream(Stream[T_co], Generic[K_co, T_co]):
    """A stream in which one worker has all rows with the same key, and what it keeps for each key."""

    __slots__ = ("_key",)

    def __init__(self, recorder: Recorder, number: int, key: Any) -> None:
        super().__init__(recorder, number)
        self._key = key

    def _again(self, number: int) -> Self:
        return type(self)(self._recorder, number, self._key)

    @property
    def _event_time(self) -> EventTime | None:
        """How rows were given their times."""
        return event_time_of(self._recorder.graph(), self._number)

    def process(self, fn: type[KeyProcess[T_co, Any, R]] | KeyProcess[T_co, Any, R]) -> Stream[R]:
        """Call `fn(row, state)` for each row: it returns rows to pass on, or None, and keeps in `state` what it likes.

        `fn` is a class (made in each worker), an instance or a function; its second argument is annotated with a
        subclass of `KeyState`, which declares what is kept for each key. A class may have `open(context)`, and
        `on_timer(state, time)`, `on_wall_timer(state, time)` and `on_end(state)`, which return rows, too: for timers
        that were set by event time and by the wall clock, and for each key once the input is through.
        """
        from penstock.operators.process import Process

        where = calling_line(1)
        return self._then(where, Process(fn, str(where), self._key, has_times=self._event_time is not None))

    def dedupe(self, *, within: Duration | None) -> Stream[T_co]:
        """Drop a row if one of its key was passed on less than `within` before it; None: if there ever was one.

        By event time, if rows have one; else by the wall clock.
        """
        from penstock.operators.dedupe import Dedupe

        where = calling_line(1)
        return self._then(where, Dedupe(None, str(where), self._key, within, self._event_time))

    def top(self, rows: int, *, by: str | Callable[[T_co], Any]) -> Stream[list[T_co]]:
        """Keep the `rows` rows of each key for which `by` is largest: a field, or a function of the row.

        Gives the whole list, the best row first, each time that a row enters it. Of equal rows the first one stays.
        """
        from penstock.operators.top import Top

        where = calling_line(1)
        return self._then(where, Top(Field(by) if isinstance(by, str) else by, str(where), self._key, rows))

    def scan(
        self, initial: S, fn: Callable[[S, T_co], tuple[S, R]], *, ttl: Duration | None = None,
        migrate: Callable[[Any], S] | None = None,
    ) -> Stream[R]:
        """Keep a state for each key: `fn(state, row)` returns the next state, and the row to pass on.

        `initial` is the state before the first row of a key. States outlive workers: they are stored with each commit,
        and a row that fails leaves its key's state as it was. A state may be any value that a row may be; what was
        changed in place may be returned.

        A key that has no row for `ttl` is forgotten: by event time, if rows have one, else by the wall clock. If the
        type of the state has changed since a run was left, the run is refused, or `migrate` makes the new state of the
        old one (of a Struct, a dict of its fields).
        """
        from penstock.operators.scan import Scan

        where = calling_line(1)
        return self._then(where, Scan(fn, str(where), self._key, initial, ttl, migrate, self._event_time))

    @overload
    def join(
        self, other: Stream[R], *, within: Duration | tuple[Duration, Duration],
        on: str | Callable[[R], Any] | None = None, how: Literal["inner"] = "inner",
        lateness: Duration = 0.0,
    ) -> Stream[tuple[T_co, R]]: ...
    @overload
    def join(
        self, other: Stream[R], *, within: Duration | tuple[Duration, Duration],
        on: str | Callable[[R], Any] | None = None, how: Literal["left"],
        lateness: Duration = 0.0,
    ) -> Stream[tuple[T_co, R | None]]: ...
    @overload
    def join(
        self, other: Stream[R], *, within: Duration | tuple[Duration, Duration],
        on: str | Callable[[R], Any] | None = None, how: Literal["right"],
        lateness: Duration = 0.0,
    ) -> Stream[tuple[T_co | None, R]]: ...
    @overload
    def join(
        self, other: Stream[R], *, within: Duration | tuple[Duration, Duration],
        on: str | Callable[[R], Any] | None = None, how: Literal["outer"],
        lateness: Duration = 0.0,
    ) -> Stream[tuple[T_co | None, R | None]]: ...
    def join(
        self, other: Stream[Any], *, within: Any, on: Any = None, how: Any = "inner", lateness: Duration = 0.0
    ) -> Stream[Any]:
        """Give the pairs of a row of this stream and a row of `other` whose keys are equal and whose times are near.

        They are at most `within` apart; `within=(before, after)`: the other row is at most so much earlier, or later.
        `on` is the key of the other rows, a field or a function; without it, that of this stream. With `how="left"`,
        `"right"` or `"outer"`, rows that have no match are given, too, with None in its place, once none can come any
        more. The rows of `other` enter this stage; both streams need an event time. Late rows are counted, not joined.
        """
        from penstock.operators.joined.join import Join

        where = calling_line(1)
        join = Join(
            None, str(where), self._key, _on(on, self._key), within=within, how=how, lateness=lateness
        )
        return self._joined(where, other, join)

    @overload
    def lookup(
        self, table: Source[R] | LookupTable[R] | Sequence[R], *, on: str | Callable[[R], Any] | None = None,
        key: str | Callable[[T_co], Any] | None = None, how: Literal["inner"] = "inner",
        reload: Duration | None = None,
    ) -> Stream[tuple[T_co, R]]: ...
    @overload
    def lookup(
        self, table: Source[R] | LookupTable[R] | Sequence[R], *, on: str | Callable[[R], Any] | None = None,
        key: str | Callable[[T_co], Any] | None = None, how: Literal["left"], reload: Duration | None = None,
    ) -> Stream[tuple[T_co, R | None]]: ...
    @overload
    def lookup(
        self, table: Stream[R], *, on: str | Callable[[R], Any] | None = None, how: Literal["inner"] = "inner",
        versioned: bool = False, gone: str | Callable[[R], Any] | None = None,
    ) -> Stream[tuple[T_co, R]]: ...
    @overload
    def lookup(
        self, table: Stream[R], *, on: str | Callable[[R], Any] | None = None, how: Literal["left"],
        versioned: bool = False, gone: str | Callable[[R], Any] | None = None,
    ) -> Stream[tuple[T_co, R | None]]: ...
    def lookup(
        self, table: Any, *, on: Any = None, key: Any = None, how: Any = "inner", reload: Duration | None = None,
        versioned: bool = False, gone: Any = None,
    ) -> Stream[Any]:
        """Give pairs of a row and what `table` has for its key: a table as in `Stream.lookup`, or a stream.

        The rows of this stream have the key of `key_by`; `on` is that of the table's rows, without it the same.

        Each row of a stream is the version of its key that holds from then on; the versions are kept in the state. A
        row is given with the one that came last before it. With `versioned=True`, it is given with the one that held
        at its event time, once no other can come: both streams need an event time. Rows that are late are counted, and
        not given. A late version is counted, and holds for the rows that follow. A version for which `gone` is true, a
        field or a function, says that its key has no row from then on. The rows of `table` enter this stage.
        """
        where = calling_line(1)
        if not isinstance(table, Stream):
            if versioned or gone is not None:
                raise TypeError("lookup() takes versioned= and gone= with a stream")
            return self._then(where, _table_lookup(where, table, _on(on, self._key), key or self._key, how, reload))
        if key is not None or reload is not None:
            raise TypeError("lookup() takes key= and reload= with a table: rows of a stream have the key of key_by")
        from penstock.operators.looked_up.stream_lookup import StreamLookup

        operator = StreamLookup(
            None, str(where), self._key, _on(on, self._key), how=how, versioned=versioned, gone=gone
        )
        return self._joined(where, table, operator)

    def _joined(self, where: Where, other: Stream[Any], join: TwoStreams) -> Stream[Any]:
        if not isinstance(other, Stream):
            raise TypeError(f"{join.verb}() takes a stream, not {other!r}")
        if other._recorder is not self._recorder:
            self._recorder.strangers.append(where)
            return Stream(self._recorder, self._number)
        return Stream(self._recorder, self._add(OperatorCall(where, self._number, join, other._number)))

    @overload
    def window(
        self, window: Window, *, time: str | Callable[[T_co], datetime | float] | ProcessingTime | None = None,
        unit: Unit = "s",
        disorder: Duration = 0.0, idle_after: Duration | None = None, lateness: Duration = 0.0,
        early: Duration | None = None, retractions: Literal[False] = False,
    ) -> WindowedStream[K_co, T_co]: ...
    @overload
    def window(
        self, window: Window, *, time: str | Callable[[T_co], datetime | float] | ProcessingTime | None = None,
        unit: Unit = "s",
        disorder: Duration = 0.0, idle_after: Duration | None = None, lateness: Duration = 0.0,
        early: Duration, retractions: Literal[True],
    ) -> ChangingWindows[K_co, T_co]: ...
    def window(
        self, window: Window, *, time: Any = None, unit: Unit = "s", disorder: Duration = 0.0,
        idle_after: Duration | None = None, lateness: Duration = 0.0, early: Duration | None = None,
        retractions: bool = False,
    ) -> Windows[K_co, T_co]:
        """Group the rows of each key by time: `window(ps.tumbling("10s")).aggregate(n=ps.count())`.

        A window is complete once the watermark has reached its end, and `lateness` more: its results are given then,
        and rows that come later are in `.late`. `time`, `unit`, `disorder` and `idle_after` stand for an `event_time`
        before it; with `time=ps.processing_time()`, rows count when they come, by the clock. With `early`, windows that
        are not complete are given, too, whenever event time has passed a multiple of it, if their results have changed;
        with `retractions`, all results are `Change`s, and what was given is taken back first.
        """
        where = calling_line(1)
        if not isinstance(window, Window):
            raise TypeError(f"window() takes a window such as ps.tumbling('10s'), not {window!r}")
        if time is processing_time:
            raise TypeError("window() takes a time that was made by ps.processing_time(); write the parentheses")
        if retractions and early is None:
            raise TypeError("window() takes retractions=True with early=: nothing is given that could be taken back")
        number = self._number
        by_clock = isinstance(time, ProcessingTime)
        if time is not None and not by_clock:
            fn = Field(time) if isinstance(time, str) else time
            event_time = EventTime(fn, str(where), disorder, idle_after, unit)
            number = self._add(OperatorCall(where, number, event_time))
        elif disorder or idle_after is not None or unit != "s":
            raise TypeError("window() takes unit=, disorder= and idle_after= with time=, the time of the rows")
        options = WindowOptions(window, lateness, early, retractions, by_clock)
        if retractions:
            return ChangingWindows(self._recorder, number, self._key, options)
        return WindowedStream(self._recorder, number, self._key, options)


class Windows(Generic[K_co, T_co]):
    """The rows of each key, in windows. Made by `KeyedStream.window`."""

    __slots__ = ("_key", "_late", "_number", "_options", "_recorder")

    def __init__(self, recorder: Recorder, number: int, key: Any, options: WindowOptions) -> None:
        self._recorder = recorder
        self._number = number
        self._key = key
        self._options = options
        self._late: Stream[T_co] | None = None

    @property
    def late(self) -> Stream[T_co]:
        """The rows that no window counts, because they came after it was complete. Reports count them in any case."""
        if self._late is None:
            where = calling_line(1)
            late = Late(None, str(where), self._key, self._options)
            number = self._recorder.add(OperatorCall(where, self._number, late))
            self._recorder.need_no_sink.add(number)  # who only looks at it has asked for nothing
            self._late = Stream(self._recorder, number)
        return self._late

    def _aggregated(self, where: Where, type: Any, columns: Mapping[str, Aggregation], key_as: str = "") -> Stream[Any]:
        made = Aggregate if self._options.window.needs_time else CountAggregate
        operator = made(
            None, str(where), self._key, self._options, aggregations=tuple(columns.items()), type=type, key_as=key_as
        )
        return Stream(self._recorder, self._recorder.add(OperatorCall(where, self._number, operator)))


class WindowedStream(Windows[K_co, T_co], Generic[K_co, T_co]):
    """Windows whose results are rows: each of them once, or with `early` the last one of a window counts."""

    __slots__ = ()

    @overload
    def aggregate(self, /, **columns: Aggregation | type[Accumulator[T_co, Any]]) -> Stream[Row]: ...
    @overload
    def aggregate(self, type: type[R], /, **columns: Aggregation | type[Accumulator[T_co, Any]]) -> Stream[R]: ...
    def aggregate(self, type: Any = Row, /, **columns: Any) -> Stream[Any]:
        """Compute each column of the rows of a window: `aggregate(Visit, n=ps.count(), ms=ps.sum("ms"))`.

        A result has the key, by the name of its field (`key`, if a function gives it), `start`, `end`, and the columns.
        It is a `type`, by the names of its fields, or a dict. A column may be a class of your own with `add(row)`,
        `merge(other)` and `result()`, of which one is made for each key and window.
        """
        where = calling_line(1)
        from penstock.windows.aggregates import as_aggregations

        return self._aggregated(where, type, as_aggregations(columns))

    def fold(
        self, initial: S, fn: Callable[[S, T_co], S], *, merge: Callable[[S, S], S] | None = None
    ) -> Stream[WindowResult[K_co, S]]:
        """Compute one value of the rows of a window: `fn(value, row)` returns the next value.

        Sessions and sliding windows are put together from parts: they need `merge(value, other)`, too.
        """
        where = calling_line(1)
        return self._aggregated(where, WindowResult, {"value": Folded(None, initial, fn, merge)}, "key")

    def collect(self, *, limit: int = 10_000) -> Stream[WindowResult[K_co, list[T_co]]]:
        """Give the rows of each window as a list, in the order in which they came. A row beyond `limit` fails."""
        where = calling_line(1)
        return self._aggregated(where, WindowResult, {"value": Collect(None, limit)}, "key")

    def top(self, n: int, *, by: str | Callable[[T_co], Any]) -> Stream[Ranked[K_co, T_co]]:
        """Give the `n` rows of each key and window in which `by` is largest, one by one, the largest first.

        Of equal ones, the first to come counts.
        """
        where = calling_line(1)
        best = self._aggregated(where, WindowResult, {"value": TopK(None, n, by)}, "key")
        return best._then(where, RankRows(None, str(where)))

    @overload
    def join(
        self, other: Stream[R], *, on: str | Callable[[R], Any] | None = None, how: Literal["inner"] = "inner",
    ) -> Stream[tuple[T_co, R]]: ...
    @overload
    def join(
        self, other: Stream[R], *, on: str | Callable[[R], Any] | None = None, how: Literal["left"],
    ) -> Stream[tuple[T_co, R | None]]: ...
    @overload
    def join(
        self, other: Stream[R], *, on: str | Callable[[R], Any] | None = None, how: Literal["right"],
    ) -> Stream[tuple[T_co | None, R]]: ...
    @overload
    def join(
        self, other: Stream[R], *, on: str | Callable[[R], Any] | None = None, how: Literal["outer"],
    ) -> Stream[tuple[T_co | None, R | None]]: ...
    def join(self, other: Stream[Any], *, on: Any = None, how: Any = "inner") -> Stream[Any]:
        """Give pairs of a row of this stream and a row of `other` that have one key and are in one window.

        The windows are tumbling ones. `on` and `how` are those of `KeyedStream.join`.
        """
        from penstock.operators.joined.join import Join

        where = calling_line(1)
        options = self._options
        if options.by_clock:
            raise TypeError("join() takes windows by event time")
        join = Join(
            None, str(where), self._key, _on(on, self._key), window=options.window, how=how,
            lateness=options.lateness,
        )
        return KeyedStream(self._recorder, self._number, self._key)._joined(where, other, join)


class ChangingWindows(Windows[K_co, T_co], Generic[K_co, T_co]):
    """Windows whose results are given before they are complete, and are taken back when they change."""

    __slots__ = ()

    @overload
    def aggregate(self, /, **columns: Aggregation | type[Accumulator[T_co, Any]]) -> Stream[Change[Row]]: ...
    @overload
    def aggregate(
        self, type: type[R], /, **columns: Aggregation | type[Accumulator[T_co, Any]]
    ) -> Stream[Change[R]]: ...
    def aggregate(self, type: Any = Row, /, **columns: Any) -> Stream[Any]:
        """As `WindowedStream.aggregate`, with each result in a `Change`."""
        where = calling_line(1)
        from penstock.windows.aggregates import as_aggregations

        return self._aggregated(where, type, as_aggregations(columns))


class Pipeline:
    """A description of what to run. The same user, name and working directory mean the same pipeline."""

    __slots__ = ("_recorder",)

    def __init__(self, name: str) -> None:
        self._recorder = Recorder(name, calling_line(1))

    @property
    def name(self) -> str:
        return self._recorder.pipeline

    def source(
        self,
        source: Source[T] | Callable[[], Iterable[T]] | Sequence[T],
        *,
        name: str | None = None,
        durable: Path | str | None = None,
        **options: Unpack[StageOptions],
    ) -> Stream[T]:
        """Begin a stream with a connector, a sequence of rows, or a function that returns an iterable.

        After a restart the function is called again, and the rows that were committed are skipped.

        `durable`: a folder on a disk, for what cannot be read again (a pipe, a socket). Rows are synced there before
        they enter, and read from there after the loss of processes, or of the machine if the disk survives.
        """
        where = calling_line(1)
        given = _options("source", options)
        made = as_source(source)
        if durable is not None and made is not None:
            from penstock.connectors.journaled import Journaled  # few pipelines have one

            made = Journaled(made, Path(durable).absolute())
        number = self._recorder.add(SourceCall(where, source, made, name, given))
        return Stream(self._recorder, number)

    def check(self) -> Sequence[Mistake]:
        """Return every mistake in the description, with its line. Reads and writes no data."""
        return _examined(self._recorder.graph(), _NO_SETTINGS).findings.mistakes

    def plan(self, *, settings: Mapping[str, object] = _NO_SETTINGS) -> Plan:
        """Return what would run. Raises `PipelineInvalid` with all mistakes."""
        return _planned(self._recorder.graph(), settings)

    def run(
        self,
        *,
        settings: Mapping[str, object] = _NO_SETTINGS,
        fresh: bool = False,
        run_dir: Path | str | None = None,
        state_dir: Path | str | None = None,
        progress: bool | None = None,
        checkpoint: CheckpointOptions | None = None,
        from_checkpoint: str = "",
    ) -> Report:
        """Run to the end. Resume what a killed or failed run left, unless `fresh` is true.

        `checkpoint`: where to take checkpoints (`penstock.checkpoint`); if nothing was left, the run resumes from the
        newest one, or from the one that `from_checkpoint` names. A run that is told to end before its input was
        through leaves its positions in the state directory, and the next run resumes there.

        Raises `PipelineInvalid`, `PipelineFailed`, and other subclasses of `PenstockError` if the run is refused.
        """
        _refuse_while_imported("run", calling_line(1))
        from penstock.engine.early_supervisor import started_early

        with started_early(self.name, run_dir, state_dir) as early:
            plan = self.plan(settings=settings)
            from penstock.engine import engine  # while the supervisor imports what it needs

            return engine.run(
                plan, fresh=fresh, run_dir=run_dir, state_dir=state_dir, progress=progress, checkpoint=checkpoint,
                from_checkpoint=from_checkpoint, early=early,
            )

    def start(
        self,
        *,
        settings: Mapping[str, object] = _NO_SETTINGS,
        fresh: bool = False,
        run_dir: Path | str | None = None,
        state_dir: Path | str | None = None,
        checkpoint: CheckpointOptions | None = None,
        from_checkpoint: str = "",
    ) -> Handle:
        """Start the run, and return a handle to watch, drain and stop it. Arguments and errors are those of `run`."""
        _refuse_while_imported("start", calling_line(1))
        from penstock.engine.early_supervisor import started_early

        with started_early(self.name, run_dir, state_dir) as early:
            plan = self.plan(settings=settings)
            from penstock.engine import engine

            return engine.start(
                plan, fresh=fresh, run_dir=run_dir, state_dir=state_dir, checkpoint=checkpoint,
                from_checkpoint=from_checkpoint, early=early,
            )


def _without_key(recorder: Recorder, number: int, verb: str) -> str:
    """Why a stream has no verb that keyed ones have, and what to write."""
    call = recorder.calls[number]
    if isinstance(call, BroadcastCall):
        return (
            f"{verb}() keeps something for each key, and broadcast() in {call.where} sends every row to every worker; "
            f'write .key_by("field").{verb}(...) in its place: then one worker has all rows of a key'
        )
    return f'{verb}() keeps something for each key, and these rows have none; write .key_by("field").{verb}(...)'


def plan_of_connectors_unasked(app: Pipeline) -> Plan:
    """What would run, whatever is out there. Called by `penstock.testing`, which replaces all sources and sinks."""
    from penstock.plan.planner import examine, plan_of

    return plan_of(examine(app._recorder.graph(), _NO_SETTINGS, ask_connectors=False))


def _planned(graph: Graph, settings: Mapping[str, object]) -> Plan:
    from penstock.plan.planner import plan_of

    return plan_of(_examined(graph, settings))


def _examined(graph: Graph, settings: Mapping[str, object]) -> Examined:
    """Run all checks; cautions become warnings at the user's line, each of them once."""
    from penstock.graph.main_guard import guard_cautions
    from penstock.plan.planner import examine

    examined = examine(graph, settings)
    for caution in (*examined.findings.cautions, *guard_cautions(graph, examined.rows, linecache.getlines)):
        warnings.warn_explicit(visible_lines(caution.what), UserWarning, caution.file, caution.line, registry=_warned)
    return examined


def _table_lookup(where: Where, table: Any, on: Any, key: Any, how: Any, reload: Duration | None) -> Operator:
    """The operator of a lookup in a table. `key`: of the rows; None: the field that `on` names."""
    from penstock.lookup_table import LookupTable
    from penstock.operators.looked_up.lookup import LeftLookup, Lookup

    if isinstance(table, Stream):
        raise TypeError('lookup() in a stream is for keyed rows: write .stage("x").key_by("id") before it')
    own = on if key is None and isinstance(on, str) else key
    if isinstance(table, LookupTable):
        from penstock.operators.looked_up.table_lookup import TableLookup

        return TableLookup(None, str(where), key=own, on=on, how=how, table=table, reload=reload)
    source = as_source(table)
    made = LeftLookup if how == "left" else Lookup
    return made(None, str(where), own, on, how, source, None if source is not None else table, reload)


def _on(on: Any, key: Any) -> Any:
    """The key of the rows that are joined."""
    return key if on is None else on


def _refuse_while_imported(verb: Literal["run", "start", "results"], where: Where) -> None:
    if being_imported():
        raise PenstockError(
            f"{where}: {verb}() is called while the file is imported, as every worker imports it; "
            'guard it: write `if __name__ == "__main__":` above it'
        )


def _options(verb: str, options: Mapping[str, object], edge: object = DEFAULT_EDGE) -> dict[str, object]:
    """The options of a call; one that does not exist is a wrong call, as with any function."""
    if not isinstance(edge, Edge):
        raise TypeError(f"{verb}() takes edge=ps.Edge(...), not {edge!r}")
    known = StageOptions.__annotations__
    for name in options:
        if name not in known:
            raise TypeError(f"{verb}() got an unexpected keyword argument {name!r}; {did_you_mean(name, known)}")
    return dict(options)
