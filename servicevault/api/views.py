"""The view every endpoint is made from, and lists by page (C5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from rest_framework import serializers
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from permissions import audit, policy
from servicevault.api.limits import Allowance, RateLimit
from servicevault.api.rendering import TranslatedJSON

S = TypeVar("S", bound=serializers.BaseSerializer[Any])


class ApiView(APIView):
    """Known callers only, each within the limit `rate`, each with one of the permissions `needs`."""

    permission_classes = [IsAuthenticated]
    renderer_classes = [TranslatedJSON]
    throttle_classes = [RateLimit]
    rate = ""
    needs: Sequence[str] = ()
    allowance: Allowance | None = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        audit.act_as(request.user)
        if self.needs:
            policy.require(request.user, *self.needs)

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        if self.allowance is not None:
            for name, value in self.allowance.headers().items():
                response[name] = value
        response["Cache-Control"] = "private, no-store"
        return response

    def query(self, serializer: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        """The checked parameters of the address. Raises ValidationError (422)."""
        return _valid(serializer(data=self.request.query_params.dict()))

    def body(self, serializer: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        """The checked body. Raises ValidationError (422)."""
        return _valid(serializer(data=self.request.data))


def _valid(serializer: serializers.Serializer[Any]) -> dict[str, Any]:
    serializer.is_valid(raise_exception=True)
    found: dict[str, Any] = serializer.validated_data
    return found


class PageParameters(serializers.Serializer[Any]):
    """Which part of a list; a page beyond its end is empty."""

    page = serializers.IntegerField(min_value=1, max_value=1_000_000, default=1)
    per_page = serializers.IntegerField(min_value=1, max_value=100, default=15)


class Meta(serializers.Serializer[Any]):
    current_page = serializers.IntegerField()
    per_page = serializers.IntegerField()
    total = serializers.IntegerField()


def listed(
    rows: Any, parameters: dict[str, Any], show: Callable[[Any], Any], *, more: dict[str, Any] | None = None
) -> Response:
    """One page of a queryset or list as `{data, meta}`."""
    page, size = parameters["page"], parameters["per_page"]
    total = len(rows) if isinstance(rows, list) else rows.count()
    part: Iterable[Any] = rows[(page - 1) * size : page * size]
    meta = {"current_page": page, "per_page": size, "total": total, **(more or {})}
    return Response({"data": [show(row) for row in part], "meta": meta})
