"""Arrow types of the user's annotations, and rows as record batches. Used by the Parquet sink; pyarrow is optional."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import inspect as shapes

from penstock.errors import ExtraMissing

_KEPT = (datetime.datetime, datetime.date, datetime.time, datetime.timedelta, decimal.Decimal, bytes, bytearray)


def require_pyarrow() -> Any:
    """The `pyarrow` package, or `ExtraMissing`."""
    try:
        import pyarrow
    except ImportError as exc:
        raise ExtraMissing("pyarrow", "arrow") from exc
    return pyarrow


def schema_of(kind: Any) -> Any | None:
    """The schema of a Struct, dataclass, TypedDict or NamedTuple; fields that only values can tell are null.

    None: the type says nothing about fields.
    """
    try:
        found = shapes.type_info(kind)
    except (TypeError, NameError):  # NameError: an annotation that names a class inside a function
        return None
    struct = _struct(require_pyarrow(), found)
    return None if struct is None else require_pyarrow().schema(list(struct))


def plain_rows(rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Rows as dicts of what Arrow knows. Raises `TypeError` for a row that is none."""
    plain = msgspec.to_builtins(list(rows), builtin_types=_KEPT, enc_hook=_plain_value)
    for row in plain:
        if not isinstance(row, dict):
            raise TypeError(f"a row of type {type(row).__name__} has no fields")
    return list(plain)


def record_batch(rows: Sequence[Mapping[str, Any]], schema: Any | None) -> Any:
    """Rows as columns of that schema; its null fields, or without one all fields, are taken from the values.

    Raises `ValueError`, `TypeError` or an Arrow error where a row does not fit.
    """
    pyarrow = require_pyarrow()
    known = {} if schema is None else {field.name: field.type for field in schema}
    names = list(known) if schema is not None else list(dict.fromkeys(name for row in rows for name in row))
    for row in rows:
        if schema is not None and (unknown := [name for name in row if name not in known]):
            raise ValueError(f"field {unknown[0]!r} is not among the columns ({', '.join(known)})")
    if not names:
        raise ValueError("the row has no fields")
    arrays = []
    for name in names:
        values = [row.get(name) for row in rows]
        kind = known.get(name)
        told = kind is not None and not pyarrow.types.is_null(kind)
        if told and _has_null(kind):
            values = [_without_empty(value, kind) for value in values]
        if told:
            refuse_loss(kind, values)
        arrays.append(pyarrow.array(values, type=kind) if told else _inferred(pyarrow, values))
    return pyarrow.record_batch(arrays, names=names)


def refuse_loss(kind: Any, values: Sequence[Any]) -> None:
    """Raise `ValueError` for a value that pyarrow would cut down to the type without a word."""
    types = require_pyarrow().types
    if types.is_integer(kind):
        _refuse(kind, [value for value in values if isinstance(value, float) and not value.is_integer()])
    elif types.is_date(kind):
        _refuse(kind, [value for value in values if isinstance(value, datetime.datetime)])
    elif types.is_timestamp(kind):
        _refuse(kind, [
            value for value in values
            if isinstance(value, datetime.datetime) and (value.utcoffset() is None) != (kind.tz is None)
        ])
    elif types.is_list(kind):
        refuse_loss(kind.value_type, [item for value in values if isinstance(value, list | tuple) for item in value])
    elif types.is_map(kind):
        refuse_loss(kind.item_type, [item for value in values if isinstance(value, dict) for item in value.values()])
    elif types.is_struct(kind):
        inner = [value for value in values if isinstance(value, dict)]
        names = {field.name for field in kind}
        _refuse(kind, [value for value in inner if not names.issuperset(value)])
        for field in kind:
            refuse_loss(field.type, [value.get(field.name) for value in inner])


def _refuse(kind: Any, lossy: list[Any]) -> None:
    if lossy:
        raise ValueError(f"{lossy[0]!r} does not fit the column's type {kind}")


def _inferred(pyarrow: Any, values: list[Any]) -> Any:
    """An array of the type that the values tell, chosen so that later values fit it too."""
    array = pyarrow.array(values)
    if has_empty_struct(array.type):
        array = pyarrow.array([_without_empty(value, array.type) for value in values])
    refuse_loss(array.type, values)  # of datetimes with and without a zone, pyarrow takes the first one's word
    if pyarrow.types.is_decimal(array.type):
        return array.cast(_decimal(pyarrow))
    if pyarrow.types.is_timestamp(array.type) and array.type.tz is not None:
        return array.cast(pyarrow.timestamp("us", "UTC"))
    return array


def changes_zone(given: Any, kind: Any) -> bool:
    """True: a cast would give times a zone, or take theirs."""
    types = require_pyarrow().types
    if types.is_timestamp(given) and types.is_timestamp(kind):
        return (given.tz is None) != (kind.tz is None)
    if given.num_fields != kind.num_fields:
        return False  # no cast: it is made of rows
    return any(changes_zone(given.field(at).type, kind.field(at).type) for at in range(kind.num_fields))


def has_empty_struct(kind: Any) -> bool:
    """True: it is, or holds, what only `{}` was seen of. Parquet has no such type."""
    types = require_pyarrow().types
    if types.is_struct(kind) and not kind.num_fields:
        return True
    return any(has_empty_struct(kind.field(index).type) for index in range(kind.num_fields))


def _without_empty(value: Any, kind: Any) -> Any:
    """The value with None for each `{}` that no field is known of: a column of the type null, until one is seen."""
    types = require_pyarrow().types
    if value == {} and (types.is_null(kind) or not kind.num_fields):
        return None
    if isinstance(value, dict) and types.is_struct(kind):
        inner = {field.name: field.type for field in kind}
        return {name: _without_empty(item, inner[name]) if name in inner else item for name, item in value.items()}
    if isinstance(value, list | tuple) and types.is_list(kind):
        return [_without_empty(item, kind.value_type) for item in value]
    return value


def _has_null(kind: Any) -> bool:
    """True: it holds a field that only nulls, or `{}`, were seen of."""
    if require_pyarrow().types.is_null(kind):
        return True
    return any(_has_null(kind.field(index).type) for index in range(kind.num_fields))


def _decimal(pyarrow: Any) -> Any:
    return pyarrow.decimal128(38, 18)


def _plain_value(value: Any) -> Any:
    if type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} has no column type")


def _struct(pyarrow: Any, found: shapes.Type) -> list[Any] | None:
    """Arrow fields of a type with fields."""
    if isinstance(found, shapes.NamedTupleType | shapes.DataclassType | shapes.TypedDictType | shapes.StructType):
        fields = [pyarrow.field(field.encode_name, _arrow(pyarrow, field.type)) for field in found.fields]
        if isinstance(found, shapes.StructType) and found.tag_field:
            tag = pyarrow.int64() if isinstance(found.tag, int) else pyarrow.string()
            fields.insert(0, pyarrow.field(found.tag_field, tag))
        return fields
    return None


def _arrow(pyarrow: Any, found: shapes.Type) -> Any:
    """The Arrow type of an annotation; null where values have to tell."""
    simple: dict[type, Any] = {
        shapes.BoolType: pyarrow.bool_(), shapes.IntType: pyarrow.int64(), shapes.FloatType: pyarrow.float64(),
        shapes.StrType: pyarrow.string(), shapes.BytesType: pyarrow.binary(), shapes.DateType: pyarrow.date32(),
        shapes.TimeType: pyarrow.time64("us"), shapes.TimeDeltaType: pyarrow.duration("us"),
        shapes.UUIDType: pyarrow.string(), shapes.DecimalType: _decimal(pyarrow),
    }
    if type(found) in simple:
        return simple[type(found)]
    if isinstance(found, shapes.Metadata):
        return _arrow(pyarrow, found.type)
    if isinstance(found, shapes.UnionType):
        others = [each for each in found.types if not isinstance(each, shapes.NoneType)]
        return _arrow(pyarrow, others[0]) if len(others) == 1 else pyarrow.null()
    if isinstance(found, shapes.DictType):  # as a struct it would have the first rows' keys only
        key, item = _arrow(pyarrow, found.key_type), _arrow(pyarrow, found.value_type)
        known = not pyarrow.types.is_null(key) and not pyarrow.types.is_null(item)
        return pyarrow.map_(key, item) if known else pyarrow.null()
    if isinstance(found, shapes.ListType | shapes.SetType | shapes.FrozenSetType | shapes.VarTupleType):
        item = _arrow(pyarrow, found.item_type)
        return pyarrow.null() if pyarrow.types.is_null(item) else pyarrow.list_(item)
    inner = None if isinstance(found, shapes.NamedTupleType) else _struct(pyarrow, found)
    if inner and not any(pyarrow.types.is_null(field.type) for field in inner):
        return pyarrow.struct(inner)
    return pyarrow.null()
