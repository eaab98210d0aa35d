"""How values of a source become Python values: never an exception, never a surprise in size.

A source may be hostile or just old: dates beyond year 9999, numbers of 5,000 digits,
text that is not UTF-8, JSON nested 100,000 deep. What has no plain Python value stays
the text the server sent.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap, Loader

LONGEST_NUMBER = 1000  # characters; Decimal("1e999999999") is short, so exponents stay text as well


class TextValue(Loader):
    """The server's text; bytes that are not UTF-8 show as U+FFFD."""

    def load(self, data: Buffer) -> object:
        return str(data, "utf-8", "replace")


class RawValue(Loader):
    """The server's text as bytes, at the cost of one copy: what goes into COPY unread."""

    load = bytes  # type: ignore[assignment]


class _Parsed(TextValue):
    """Text through `parse`; the text itself where that fails."""

    parse: Callable[[str], object]

    def load(self, data: Buffer) -> object:
        text = str(data, "utf-8", "replace")
        try:
            return type(self).parse(text)
        except (ValueError, ArithmeticError):
            return text


def _parsed(name: str, parse: Callable[[str], object]) -> type[Loader]:
    return type(name, (_Parsed,), {"parse": staticmethod(parse)})


def _integer(text: str) -> int:
    if len(text) > 20:  # bigint has 19 digits and a sign
        raise ValueError
    return int(text)


def _decimal(text: str) -> Decimal:
    if len(text) > LONGEST_NUMBER or "e" in text.lower():
        raise ValueError
    return Decimal(text)


def _boolean(text: str) -> bool:
    if text not in ("t", "f"):
        raise ValueError
    return text == "t"


def _bytes(text: str) -> bytes:
    if not text.startswith("\\x"):
        raise ValueError
    return bytes.fromhex(text[2:])


PARSERS: dict[str, Callable[[str], object]] = {
    "bool": _boolean,
    "int2": _integer,
    "int4": _integer,
    "int8": _integer,
    "oid": _integer,
    "float4": float,
    "float8": float,
    "numeric": _decimal,
    "date": datetime.date.fromisoformat,
    "timestamp": datetime.datetime.fromisoformat,
    "timestamptz": datetime.datetime.fromisoformat,
    "time": datetime.time.fromisoformat,
    "uuid": uuid.UUID,
    "bytea": _bytes,
}


def register_raw(adapters: AdaptersMap) -> None:
    """Make every value arrive as the bytes of the server's text."""
    for oid in ALL_OIDS:
        adapters.register_loader(oid, RawValue)


def _adapters() -> AdaptersMap:
    """psycopg's dumpers with our loaders in place of every loader it has."""
    adapters = AdaptersMap(psycopg.adapters)
    for oid in ALL_OIDS:
        adapters.register_loader(oid, TextValue)
    for name, parse in PARSERS.items():
        adapters.register_loader(name, _parsed(f"{name.title()}Value", parse))
    return adapters


class _Context:
    """What psycopg takes a set of adapters from."""

    connection: psycopg.Connection[Any] | None = None

    def __init__(self, adapters: AdaptersMap) -> None:
        self.adapters = adapters


# 0 stands for the types psycopg does not know.
ALL_OIDS = (0, *(oid for info in psycopg.adapters.types for oid in (info.oid, info.array_oid) if oid))
CONTEXT = _Context(_adapters())
