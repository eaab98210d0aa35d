"""Transformations of a cell: name, label, parameters, the SQL over the text, an example (M6).

Each is a function from an SQL expression of type text to another; bound values come from `bind`.
They run in the target's PostgreSQL, the same for database and file sources.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from importer.errors import QueryError
from importer.pipeline.binding import Bind

Build = Callable[[sql.Composable, Mapping[str, Any], Bind], sql.Composable]


@dataclass(frozen=True)
class Kind:
    """A transformation people choose by name."""

    name: str
    label: str
    example: tuple[str, str]  # before, after
    build: Build
    params: tuple[str, ...] = ()
    numeric: bool = False  # needs a number; anything else fails the row as `not_a_number`


@dataclass(frozen=True)
class Transform:
    """One step of a field's mapping."""

    name: str
    params: Mapping[str, Any]

    @property
    def kind(self) -> Kind:
        return KINDS[self.name]


def transform(name: str, params: Mapping[str, Any] | None = None) -> Transform:
    """The step of that name. Raises QueryError for an unknown name or a missing or unknown parameter."""
    if name not in KINDS:
        raise QueryError(f"“{name}” is not a transformation.", hint=f"Known: {', '.join(sorted(KINDS))}.")
    given = dict(params or {})
    kind = KINDS[name]
    missing = [item for item in kind.params if item not in given]
    unknown = [item for item in given if item not in kind.params]
    if missing or unknown:
        raise QueryError(
            f"Transformation “{name}” takes the parameters {', '.join(kind.params) or 'none'}.",
            hint=f"Missing: {', '.join(missing) or 'none'}. Unknown: {', '.join(unknown) or 'none'}.",
        )
    return Transform(name, given)


def _wrap(template: str) -> Build:
    """A build that puts the cell where `{}` stands; parameters are `{name}`, bound as text or integer."""

    def build(cell: sql.Composable, params: Mapping[str, Any], bind: Bind) -> sql.Composable:
        bound = {
            name: bind(value, "integer" if isinstance(value, int) and not isinstance(value, bool) else "text")
            for name, value in params.items()
        }
        return sql.SQL(template).format(cell=cell, **bound)

    return build


def _null_if(cell: sql.Composable, params: Mapping[str, Any], bind: Bind) -> sql.Composable:
    values = [str(value) for value in params["values"]]
    return sql.SQL("CASE WHEN {cell} = ANY({values}) THEN NULL ELSE {cell} END").format(
        cell=cell, values=bind(values, "text[]")
    )


def _case_when(cell: sql.Composable, params: Mapping[str, Any], bind: Bind) -> sql.Composable:
    operators = {"=": "=", "!=": "<>", "<>": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
    branches = []
    for case in params["cases"]:
        operator, value = case["when"].get("operator", "="), case["when"]["value"]
        if operator not in operators:
            raise QueryError(f"case_when does not know the operator “{operator}”.", hint=f"Use {', '.join(operators)}.")
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        left = (
            sql.SQL("CASE WHEN pg_input_is_valid({cell}, 'numeric') THEN {cell}::numeric END").format(cell=cell)
            if numeric
            else cell
        )
        branches.append(
            sql.SQL("WHEN ({left}) {operator} {value} THEN {then}").format(
                left=left,
                operator=sql.SQL(operators[operator]),
                value=bind(value, "numeric" if numeric else "text"),
                then=bind(None if case["then"] is None else str(case["then"]), "text"),
            )
        )
    otherwise = params["else"]
    return sql.SQL("CASE {branches} ELSE {otherwise} END").format(
        branches=sql.SQL(" ").join(branches), otherwise=bind(None if otherwise is None else str(otherwise), "text")
    )


_KINDS = (
    Kind("trim", "Trim blanks", ("  Ann ", "Ann"), _wrap("btrim({cell}, E' \\t\\r\\n')")),
    Kind("upper", "Upper case", ("ann", "ANN"), _wrap("upper({cell})")),
    Kind("lower", "Lower case", ("Ann", "ann"), _wrap("lower({cell})")),
    Kind("title", "Title case", ("ann LEE", "Ann Lee"), _wrap("initcap({cell})")),
    Kind("truncate", "Cut to a length", ("Hello", "Hel"), _wrap("left({cell}, {length})"), ("length",)),
    Kind(
        "default", "Default when empty", ("", "n/a"), _wrap("coalesce(nullif(btrim({cell}), ''), {value})"), ("value",)
    ),
    Kind("static", "Always this value", ("x", "fixed"), _wrap("{value}"), ("value",)),
    Kind("null_if", "Empty when one of", ("-", ""), _null_if, ("values",)),
    Kind("replace", "Replace text", ("a-b", "a b"), _wrap("replace({cell}, {old}, {new})"), ("old", "new")),
    Kind(
        "split",
        "Part between separators",
        ("a@b", "b"),
        _wrap("split_part({cell}, {separator}, {part})"),
        ("separator", "part"),
    ),
    Kind("pad_left", "Pad on the left", ("7", "007"), _wrap("lpad({cell}, {length}, {fill})"), ("length", "fill")),
    Kind("round", "Round", ("2.5", "3"), _wrap("round({cell}::numeric, {digits})::text"), ("digits",), numeric=True),
    Kind("floor", "Round down", ("2.9", "2"), _wrap("floor({cell}::numeric)::text"), numeric=True),
    Kind("ceil", "Round up", ("2.1", "3"), _wrap("ceil({cell}::numeric)::text"), numeric=True),
    Kind(
        "seconds_to_minutes",
        "Seconds to minutes",
        ("90", "2"),
        _wrap("round({cell}::numeric / 60)::text"),
        numeric=True,
    ),
    Kind(
        "hours_to_minutes", "Hours to minutes", ("1.5", "90"), _wrap("round({cell}::numeric * 60)::text"), numeric=True
    ),
    Kind("case_when", "Cases", ("1", "open"), _case_when, ("cases", "else")),
)

KINDS: dict[str, Kind] = {kind.name: kind for kind in _KINDS}
