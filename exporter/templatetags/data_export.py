"""`{% data_export "tickets" filters=filters max_rows=5000 %}`: an export on a page of your own (F-164)."""

from __future__ import annotations

from typing import Any

from django import template

from exporter.bounds import Bounds
from exporter.web.component import component_for
from exporter.web.parameters import Parameters
from servicevault.web.tag_values import Names, from_zero, names

register = template.Library()


@register.inclusion_tag("exporter/component.html", takes_context=True)
def data_export(
    context: dict[str, Any],
    table_name: str,
    *,
    columns: Names = None,
    total_rows: int | None = None,
    filters: Any = None,
    max_rows: int | None = None,
    allowed_formats: Names = None,
    default_format: str = "",
    show_preview: bool = True,
    embedded: bool = False,
    class_name: str = "",
) -> dict[str, Any]:
    """A form that exports the table within these bounds; nothing at all for people who may not export it.

    What is given takes away from the person's permission and never adds to it. `columns` and `allowed_formats` are
    lists or texts with commas; `filters` are those of the API; `total_rows` is what the page knows anyway.
    """
    request = context["request"]
    bounds = Bounds(
        columns=names(columns),
        filters=filters or (),
        max_rows=from_zero(max_rows),
        allowed_formats=names(allowed_formats),
        show_preview=bool(show_preview),
    )
    parameters = Parameters(table_name, bounds, default_format, total_rows, bool(embedded), class_name)
    component = component_for(request.user, parameters)
    return {"component": component, "request": request, "csrf_token": context.get("csrf_token")}
