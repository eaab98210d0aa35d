"""Triggers of the target for the length of a test: somebody else interleaves, or the database refuses a row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg


@contextmanager
def trigger(target: psycopg.Connection, table: str, body: str, *, when: str = "BEFORE INSERT") -> Iterator[None]:
    """`body` runs for each row of `table` that is written; RETURN NEW follows it."""
    target.execute(f"CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NEW; END $$")
    target.execute(f"CREATE TRIGGER meddle {when} ON {table} FOR EACH ROW EXECUTE FUNCTION meddle()")
    try:
        yield
    finally:
        target.execute(f"DROP TRIGGER meddle ON {table}; DROP FUNCTION meddle()")
