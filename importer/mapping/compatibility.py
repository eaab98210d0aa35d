"""Compatibility: whether a source column can feed a target field, and by which transformation (M11)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from importer.query.binding import type_without_modifier
from importer.query.problems import Problem
from importer.query.scope import FAMILIES
from importer.query.spec import QuerySpec
from servicevault import catalog
from servicevault.catalog import Field
from servicevault.wording import say, say_count

Level = Literal["compatible", "convertible", "incompatible"]
Kind = Literal["text", "number", "boolean", "moment", "json", "list", "uuid", "interval", "bytes", "unknown"]


@dataclass(frozen=True)
class Fit:
    """How a type fits a field; `transformation` names what converts it, "" when nothing is needed."""

    level: Level
    transformation: str = ""
    reason: str = ""


_OK = Fit("compatible")
# Per field type: what each kind of source value needs. A kind that is missing cannot become the field.
_FITS: Mapping[str, Mapping[Kind, str]] = {
    "email": {"text": ""},
    "integer": {"number": "", "text": "integer"},
    "minutes": {"number": "", "text": "duration", "interval": "duration"},
    "numeric": {"number": "", "text": "number"},
    "boolean": {"boolean": "", "number": "boolean", "text": "boolean"},
    "timestamptz": {"moment": "", "text": "datetime"},
    "json": {"json": "", "list": "", "text": "", "number": ""},
    "tags": {"list": "", "text": "", "json": ""},
    "uuid": {"uuid": "", "text": "", "number": "uuid_from_id"},
}


def kind_of(source_type: str) -> Kind:
    """The kind of value a PostgreSQL type holds; "unknown" for types of extensions and none at all."""
    plain = type_without_modifier(source_type)
    if plain.endswith("[]"):
        return "list"
    if plain == "bytea":
        return "bytes"
    if plain == "interval":
        return "interval"
    match FAMILIES.get(plain, ""):
        case "date" | "timestamp":
            return "moment"
        case "text" | "number" | "boolean" | "json" | "uuid" as same:
            return same
    return "unknown"


def judge(source_type: str, field: Field) -> Fit:
    """How values of the type fit the field."""
    kind = kind_of(source_type)
    if kind == "bytes":
        return Fit(
            "incompatible",
            reason=say("{source_type} holds bytes; {field} does not.", source_type=source_type, field=field.name),
        )
    if kind == "unknown":
        return _OK
    if field.type == "column":
        return _of_column(kind, source_type, field)
    if field.reference is not None:
        if kind in {"text", "number", "uuid"}:
            return _OK
        return Fit(
            "incompatible",
            reason=say(
                "{field} takes the id of another row, not {source_type}.", field=field.name, source_type=source_type
            ),
        )
    if field.choices:
        if kind in {"text", "number", "boolean"}:
            return Fit(
                "convertible", "map", say("Each value becomes one of {choices}.", choices=", ".join(field.choices))
            )
        return Fit(
            "incompatible",
            reason=say(
                "{source_type} cannot be one of {choices}.", source_type=source_type, choices=", ".join(field.choices)
            ),
        )
    if field.type == "text":
        if kind in {"list", "json"} and not field.json_key:
            return Fit("convertible", "", say("{source_type} is stored as its text.", source_type=source_type))
        return _OK
    known = _FITS[field.type]
    if kind not in known:
        return Fit(
            "incompatible",
            reason=say(
                "{source_type} cannot become {field}, which is {noun}.",
                source_type=source_type,
                field=field.name,
                noun=_noun(field.type),
            ),
        )
    if not known[kind]:
        return _OK
    return Fit(
        "convertible", known[kind], say("{source_type} is read by “{kind}”.", source_type=source_type, kind=known[kind])
    )


def _of_column(kind: Kind, source_type: str, field: Field) -> Fit:
    """How values fit a column of any table: texts are read as values of it, row by row."""
    wanted = kind_of(field.sql_type)
    if kind == "text" or wanted in {kind, "text", "json", "unknown"} or (kind, wanted) == ("number", "boolean"):
        return _OK
    return Fit(
        "incompatible",
        reason=say(
            "{source_type} cannot become {field}, which is {sql_type}.",
            source_type=source_type,
            field=field.name,
            sql_type=field.sql_type,
        ),
    )


def _noun(field_type: str) -> str:
    nouns = {"email": say("an e-mail address"), "integer": say("a whole number"), "minutes": say("a duration"), "numeric": say("a number"),
             "boolean": say("yes or no"), "timestamptz": say("a date and time"), "uuid": say("a UUID")}  # fmt: skip
    return nouns.get(field_type, field_type)


def type_problems(
    spec: QuerySpec, types: Mapping[str, str], *, empty: Mapping[str, int] | None = None, sampled: int = 0
) -> list[Problem]:
    """Per field of the query what its type says (M11): an error where it cannot be, a warning where values may fail.

    `types` are the columns' types on the source. `empty` counts the empty values of each column among `sampled` rows.
    """
    target = catalog.get(spec.target_type)
    places = {field.target: index for index, field in enumerate(spec.fields)}
    found = []
    for column, source_type in types.items():
        field = target.field(column)
        if field is None:
            continue
        path = f"fields[{places[column]}]" if column in places else "fields"
        steps = [name for name, _ in spec.fields[places[column]].transformation] if column in places else []
        has_map = bool(spec.value_maps.get(column) or spec.value_maps.get(field.name))
        fit = judge(source_type, field)
        if fit.level == "incompatible" and not steps:
            found.append(Problem(path, fit.reason, say("Choose another column."), "type_mismatch"))
        elif fit.transformation and not steps and not (fit.transformation == "map" and has_map):
            hint = say(
                "Add the transformation “{transformation}”; values that do not fit it are reported row by row.",
                transformation=fit.transformation,
            )
            found.append(Problem(path, fit.reason, hint, "type_mismatch", severity="warning"))
        if field.not_empty and (number := (empty or {}).get(column, 0)):
            message = say_count(
                "{number:,} of {count} sampled row has no {field}, which must not be empty.",
                "{number:,} of {count:,} sampled rows have no {field}, which must not be empty.",
                sampled,
                number=number,
                field=field.name,
            )
            found.append(
                Problem(
                    path,
                    message,
                    say("Those rows will fail; give a default or filter them."),
                    "required_empty",
                    severity="warning",
                )
            )
    return found


def empty_counts(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> dict[str, int]:
    """How many of the sampled rows have nothing in each column."""
    return {
        column: sum(row[place] is None or (isinstance(row[place], str) and not str(row[place]).strip()) for row in rows)
        for place, column in enumerate(columns)
    }


_OF_COLUMNS = {
    **dict.fromkeys(("int2", "int4", "int8"), re.compile(r"[+-]?\d{1,3}(?:[., ]?\d{3})*(?:[.,]0+)?")),
    **dict.fromkeys(("numeric", "float4", "float8"), re.compile(r"[+-]?[\d.,' ]*\d[\d.,' ]*(?:[eE][+-]?\d+)?")),
    **dict.fromkeys(("date", "timestamp", "timestamptz"), re.compile(r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}.*|\d{9,}")),
    "uuid": re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}"),
    "bool": re.compile(r"(?i)true|false|t|f|yes|no|y|n|on|off|[01]"),
}


def samples_fit(field: Field, samples: Sequence[str]) -> bool:
    """Whether most values of a file could be the table's; what is empty says nothing."""
    wanted = _OF_COLUMNS.get(field.base)
    filled = [sample.strip() for sample in samples if sample and sample.strip()]
    if wanted is None or not filled:
        return True
    return sum(1 for sample in filled if wanted.fullmatch(sample)) * 2 >= len(filled)
