"""`/health`, `/metrics` and their JSON under /api/v1/data: for load balancers, Prometheus and people (F-140, F-141, G36)."""

from __future__ import annotations

import hmac
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import extend_schema
from prometheus_client import CONTENT_TYPE_LATEST
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.settings import api_settings

from permissions import policy
from servicevault import health, metrics
from servicevault.api.views import ApiView
from servicevault.web.errors import failure_body
from servicevault.wording import say

PERMISSION = "system.metrics"


class Scraper:
    """A program that presents METRICS_TOKEN: it may read numbers and nothing else."""

    pk: Any = None
    is_authenticated = is_active = True
    is_superuser = False


def _is_scraper(request: Any) -> bool:
    scheme, _, text = get_authorization_header(request).partition(b" ")
    token = settings.METRICS_TOKEN.encode()
    return bool(token) and scheme.lower() == b"bearer" and hmac.compare_digest(text.strip(), token)


class ScraperAuthentication(BaseAuthentication):
    """`Authorization: Bearer METRICS_TOKEN`."""

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        return (Scraper(), None) if _is_scraper(request) else None

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="service-vault"'


class ScraperScheme(OpenApiAuthenticationExtension):
    target_class = ScraperAuthentication
    name = "metrics"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "The METRICS_TOKEN of the installation."}


class MonitoringView(ApiView):
    rate = "monitoring"
    authentication_classes = [ScraperAuthentication, *api_settings.DEFAULT_AUTHENTICATION_CLASSES]


class HealthShape(serializers.Serializer[Any]):
    import_service_status = serializers.ChoiceField(["healthy", "degraded", "unhealthy"])
    export_service_status = serializers.ChoiceField(["healthy", "degraded", "unhealthy"])
    active_import_jobs = serializers.IntegerField()
    active_export_jobs = serializers.IntegerField()
    queue_size = serializers.IntegerField()
    system_load = serializers.FloatField()
    available_storage_gb = serializers.FloatField()
    workers = serializers.IntegerField()
    oldest_pending_seconds = serializers.IntegerField(allow_null=True)
    scheduler_last_beat = serializers.DateTimeField(allow_null=True)
    database_ms = serializers.FloatField(allow_null=True)
    cache_ms = serializers.FloatField(allow_null=True)


class Health(MonitoringView):
    @extend_schema(operation_id="get_health", responses={200: HealthShape, 503: HealthShape}, tags=["monitoring"])
    def get(self, request: Request) -> Response:
        """How imports and exports are, measured now; 503 when the database is down or the storage full."""
        found = health.measure()
        return Response(HealthShape(asdict(found)).data, status=200 if found.is_serving else 503)


class MetricsParameters(serializers.Serializer[Any]):
    period = serializers.ChoiceField(list(metrics.PERIODS), default="day")


class MetricsShape(serializers.Serializer[Any]):
    period = serializers.CharField()
    import_success_rate = serializers.FloatField(allow_null=True)
    export_success_rate = serializers.FloatField(allow_null=True)
    average_processing_time = serializers.FloatField(allow_null=True)
    file_sizes = serializers.DictField()
    errors_by_type = serializers.DictField(child=serializers.IntegerField())
    most_active_users = serializers.ListField(child=serializers.DictField())
    most_active_tables = serializers.ListField(child=serializers.DictField())
    jobs_by_state = serializers.DictField(child=serializers.IntegerField())
    rows_imported = serializers.IntegerField()
    rows_exported = serializers.IntegerField()


class Metrics(MonitoringView):
    @extend_schema(
        operation_id="get_metrics", parameters=[MetricsParameters], responses=MetricsShape, tags=["monitoring"]
    )
    def get(self, request: Request) -> Response:
        """What the jobs of the last hour, day, week or month did. Needs `system.metrics` or the metrics token."""
        if not isinstance(request.user, Scraper):
            policy.require(request.user, PERMISSION)
        return Response(metrics.measure(self.query(MetricsParameters)["period"]))


@require_safe
def alive(request: HttpRequest) -> JsonResponse:
    """Whether to send requests here; for load balancers, so without a log-in."""
    is_alive = health.is_alive()
    return JsonResponse({"status": "ok" if is_alive else "unavailable"}, status=200 if is_alive else 503)


@require_safe
def prometheus(request: HttpRequest) -> HttpResponse:
    """The metrics as text. A person needs `system.metrics`, a program the METRICS_TOKEN."""
    if not _is_scraper(request):
        if not request.user.is_authenticated:
            return JsonResponse(
                failure_body(request, "authentication_required", say("Send the METRICS_TOKEN.")), status=401
            )
        policy.require(request.user, PERMISSION)
    return HttpResponse(metrics.exposition(), content_type=CONTENT_TYPE_LATEST)
