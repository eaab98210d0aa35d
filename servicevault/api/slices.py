"""Lists of guide B: cut by skip and limit, named by what they hold (C6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from drf_spectacular.utils import inline_serializer
from rest_framework import serializers
from rest_framework.response import Response


class SliceParameters(serializers.Serializer[Any]):
    """Which part of a list; one beyond its end is empty."""

    skip = serializers.IntegerField(min_value=0, max_value=1_000_000_000, default=0)
    limit = serializers.IntegerField(min_value=1, max_value=500, default=50)


def sliced(rows: Any, parameters: dict[str, Any], plural: str, show: Callable[[Any], Any]) -> Response:
    """One part of a queryset or list as `{<plural>, total_count, skip, limit}`."""
    skip, limit = parameters["skip"], parameters["limit"]
    total = len(rows) if isinstance(rows, list) else rows.count()
    part = [show(row) for row in rows[skip : skip + limit]]
    return Response({plural: part, "total_count": total, "skip": skip, "limit": limit})


def slice_of(name: str, plural: str, item: type[serializers.BaseSerializer[Any]]) -> Any:
    """What `sliced` answers, for the document."""
    counts = {each: serializers.IntegerField() for each in ("total_count", "skip", "limit")}
    return inline_serializer(name, {plural: item(many=True), **counts})
