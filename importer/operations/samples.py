"""What transformations make of a few values, shown while a mapping is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import Error, connection, transaction
from psycopg import sql

from importer.errors import ImporterError
from importer.pipeline.binding import Bind
from importer.pipeline.transforms import chain

TIMEOUT = "SET LOCAL statement_timeout = '1s'"


def transformed(values: Sequence[str | None], steps: Sequence[Mapping[str, Any]]) -> list[str | None] | None:
    """The values after the steps, by the SQL a run uses; None when a step cannot be applied to them."""
    bind = Bind()
    cell: sql.Composable = sql.SQL("v.value")
    try:
        for found in chain([(str(step.get("name")), step.get("params") or {}) for step in steps]):
            if early := found.kind.early:
                values = [None if value is None else early(value, found.params) for value in values]
            cell = found.kind.build(cell, found.params, bind)
        rows = sql.SQL("SELECT ({})::text FROM unnest({}) WITH ORDINALITY AS v(value, n) ORDER BY v.n").format(
            cell, bind(list(values), "text[]")
        )
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(TIMEOUT)
            cursor.execute(rows, bind.params)
            return [row[0] for row in cursor.fetchall()]
    except (ImporterError, Error, KeyError, TypeError):
        return None
