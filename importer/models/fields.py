"""Column types Django has no field for."""

from __future__ import annotations

import json
from typing import Any

from django.db import models


class VerbatimJSONField(models.Field):
    """PostgreSQL's `json`: the text is kept byte for byte, so its SHA-256 can be verified in SQL.

    Reads and writes Python values; a text that is written comes back unchanged through `::text`.
    """

    def db_type(self, connection: Any) -> str:
        return "json"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return json.loads(value) if isinstance(value, str) else value

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


class KeyField(models.TextField):
    """Text that is only compared for equality and order of bytes: cheaper than a linguistic order."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["db_collation"] = "C"
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("db_collation", None)
        return name, path, args, kwargs
