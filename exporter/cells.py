"""Cells as they are read from the database: with nothing lost on the way to the file, and what no file shape holds as text."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from functools import cache
from typing import Any

import psycopg
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format
from psycopg.types.datetime import DateLoader, TimeLoader, TimestampLoader, TimestamptzLoader
from psycopg.types.string import TextLoader

_OFFSET = re.compile(r"([+-]\d\d)(?= BC$|$)")
# What Python would show in other words than PostgreSQL does.
_AS_TEXT = (
    "interval inet cidr macaddr timetz money int4range int8range numrange tsrange tstzrange daterange "
    "int4multirange int8multirange nummultirange tsmultirange tstzmultirange datemultirange"
).split()


class Double(float):
    """A floating-point number that shows itself with PostgreSQL's digits."""

    text: str

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__


class _DoubleLoader(Loader):
    def load(self, data: Buffer) -> Double:
        text = bytes(data).decode()
        value = Double(text)
        value.text = text
        return value


class _Date(DateLoader):
    def load(self, data: Buffer) -> Any:
        try:
            return super().load(data)
        except psycopg.DataError:  # infinity, before Christ, after 9999
            return bytes(data).decode()


class _Time(TimeLoader):
    def load(self, data: Buffer) -> Any:
        try:
            return super().load(data)
        except psycopg.DataError:  # 24:00:00
            return bytes(data).decode()


class _Timestamp(TimestampLoader):
    def load(self, data: Buffer) -> Any:
        try:
            return super().load(data)
        except psycopg.DataError:
            return bytes(data).decode().replace(" ", "T", 1)


class _Timestamptz(TimestamptzLoader):
    def load(self, data: Buffer) -> Any:
        try:
            return super().load(data)
        except psycopg.DataError:
            return _OFFSET.sub(r"\1:00", bytes(data).decode().replace(" ", "T", 1))


def prepare(cursor: psycopg.Cursor[Any], *, native_json: bool) -> None:
    """Make the cursor read values as files want them; its connection is left as it is.

    JSON columns become Python's lists and objects for formats that have such, else the text of the JSON.
    """
    adapters = cursor.adapters
    for name, loader in _LOADERS.items():
        adapters.register_loader(name, loader)
    for name in _AS_TEXT:
        adapters.register_loader(name, TextLoader)
    for name in ("json", "jsonb"):
        adapters.register_loader(name, _JsonLoader if native_json else TextLoader)
    for oid, loader in _arrays().items():
        adapters.register_loader(oid, loader)


class _Array(Loader):
    """A list; an array that does not begin at 1 stays PostgreSQL's text, for no list says where it begins."""

    known: type[Any]

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        self._list = self.known(oid, context)

    def load(self, data: Buffer) -> Any:
        return bytes(data).decode() if bytes(data[:1]) == b"[" else self._list.load(data)


class _Documents(_Array):
    """A list of JSON, opened whatever the format: as texts they would come back as JSON's texts."""

    def load(self, data: Buffer) -> Any:
        return _opened(super().load(data))


def _opened(value: Any) -> Any:
    if isinstance(value, list):
        return [_opened(each) for each in value]
    return value if value is None else json.loads(value, parse_float=Decimal)


@cache
def _arrays() -> dict[int, type[Loader]]:
    """Our loaders of the arrays that psycopg knows."""
    types = psycopg.adapters.types
    found: dict[int, type[Loader]] = {}
    for info in types:
        known = psycopg.adapters.get_loader(info.array_oid, Format.TEXT) if info.array_oid else None
        if info.name in {"json", "jsonb"}:
            texts = psycopg.adapters.get_loader(types["text"].array_oid, Format.TEXT)
            found[info.array_oid] = type("Documents", (_Documents,), {"known": texts})
        elif known is not None:
            found[info.array_oid] = type(f"{info.name}_array", (_Array,), {"known": known})
    return found


class _JsonLoader(Loader):
    def load(self, data: Buffer) -> Any:
        return json.loads(bytes(data), parse_float=Decimal)


_LOADERS: dict[str, type[Loader]] = {
    "float4": _DoubleLoader,
    "float8": _DoubleLoader,
    "date": _Date,
    "time": _Time,
    "timestamp": _Timestamp,
    "timestamptz": _Timestamptz,
}
