"""`{% data_import "tickets" max_rows=500 require_validation=True %}`: an import on a page of your own (F-163)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import template

from importer.file_bounds import UNBOUNDED, Bounds
from importer.file_targets import OF_TABLES
from importer.models import OF_DESK
from importer.web.files.component import component_for
from importer.web.files.parameters import Parameters
from servicevault import catalog
from servicevault.web.tag_values import Names, from_zero, names
from servicevault.wording import say

register = template.Library()


@register.inclusion_tag("importer/files/component.html", takes_context=True)
def data_import(
    context: dict[str, Any],
    table_name: str,
    *,
    columns: Names = None,
    max_file_size: int | None = None,
    max_rows: int | None = None,
    allowed_formats: Names = None,
    default_format: str = "",
    show_preview: bool = True,
    require_validation: bool = False,
    permissions: Mapping[str, Any] | None = None,
    embedded: bool = False,
    class_name: str = "",
) -> dict[str, Any]:
    """A form that takes a file into the table within these bounds; nothing at all for people who may not import there.

    `table_name` is a target type, else a table; `table:users` is the table where a type has its name too. What is given
    takes away from the person's permission and never adds to it. `columns` (fields of a target type) and
    `allowed_formats` are lists or texts with commas; `max_file_size` is in MB; `permissions` are flags and limits by
    the names that table permissions have, for whatever they leave.
    """
    request = context["request"]
    bounds = Bounds(
        columns=names(columns),
        max_file_size_mb=from_zero(max_file_size),
        max_rows=from_zero(max_rows),
        allowed_formats=names(allowed_formats),
        show_preview=bool(show_preview),
        require_validation=bool(require_validation),
    ).also(_bounds_of(permissions or {}))
    parameters = Parameters(_goal(table_name), bounds, default_format, bool(embedded), class_name)
    component = component_for(request.user, parameters)
    return {"component": component, "request": request, "csrf_token": context.get("csrf_token")}


def _goal(name: str) -> str:
    """The target as the page of data import calls it."""
    if name in catalog.names():
        return f"{OF_DESK}{name}"
    return name.removeprefix(f"{OF_TABLES}:")


def _bounds_of(permissions: Mapping[str, Any]) -> Bounds:
    """What a permission's flags and limits leave. Raises TemplateSyntaxError for one that there is not."""
    flags = ("can_import", "can_validate", "can_preview", "requires_approval")
    limits = ("max_file_size_mb", "max_rows_per_import", "allowed_formats", "allowed_columns")
    if unknown := [name for name in permissions if name not in (*flags, *limits)]:
        raise template.TemplateSyntaxError(
            say(
                "data_import: permissions have no “{unknown}”. Known: {value}.",
                unknown=unknown[0],
                value=", ".join((*flags, *limits)),
            )
        )
    return Bounds(
        columns=names(permissions.get("allowed_columns")) or None,  # none listed: all, as in a permission
        max_file_size_mb=from_zero(permissions.get("max_file_size_mb")),
        max_rows=from_zero(permissions.get("max_rows_per_import")),
        allowed_formats=names(permissions.get("allowed_formats")),
        can_import=bool(permissions.get("can_import", UNBOUNDED.can_import)),
        can_validate=bool(permissions.get("can_validate", UNBOUNDED.can_validate)),
        show_preview=bool(permissions.get("can_preview", UNBOUNDED.show_preview)),
        requires_approval=bool(permissions.get("requires_approval", UNBOUNDED.requires_approval)),
    )
