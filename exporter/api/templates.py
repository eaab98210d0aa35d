"""`/api/v1/data/export/templates` and `/schedules`: exports that people repeat (F-106, F-107)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from exporter import operations
from exporter.api import shapes
from exporter.models import ExportSchedule, ExportTemplate
from exporter.tasks import announce
from permissions import policy
from servicevault.api.documents import Message
from servicevault.api.idempotency import once
from servicevault.api.slices import SliceParameters, slice_of, sliced
from servicevault.api.views import ApiView
from servicevault.wording import say


class TemplateApi(ApiView):
    rate = "templates"

    def template(self, pk: UUID, action: str = "view") -> ExportTemplate:
        return policy.fetch(ExportTemplate.objects.select_related("created_by"), self.request.user, action, pk)

    def schedule(self, pk: UUID) -> ExportSchedule:
        return policy.fetch(
            ExportSchedule.objects.select_related("template", "created_by"), self.request.user, "view", pk
        )


class Templates(TemplateApi):
    @extend_schema(
        operation_id="list_export_templates",
        parameters=[SliceParameters],
        responses=slice_of("ExportTemplateSlice", "templates", shapes.ExportTemplateShape),
        tags=["exports"],
    )
    def get(self, request: Request) -> Response:
        """Your templates and public ones, by name."""
        given = self.query(SliceParameters)
        found = policy.restrict(ExportTemplate.objects.select_related("created_by"), request.user)
        return sliced(found, given, "templates", lambda row: shapes.ExportTemplateShape(row).data)

    @extend_schema(
        operation_id="create_export_template",
        request=shapes.ExportTemplateBody,
        responses={201: shapes.ExportTemplateShape},
        tags=["exports"],
    )
    def post(self, request: Request) -> Response:
        """Save an export to run it again."""
        template = operations.create_template(self.body(shapes.ExportTemplateBody), by=request.user)
        return Response(shapes.ExportTemplateShape(template).data, status=201)


class OneTemplate(TemplateApi):
    @extend_schema(operation_id="get_export_template", responses=shapes.ExportTemplateShape, tags=["exports"])
    def get(self, request: Request, pk: UUID) -> Response:
        """One template, and what of it vanished."""
        return Response(shapes.ExportTemplateShape(self.template(pk)).data)

    @extend_schema(
        operation_id="change_export_template",
        request=shapes.ExportTemplateChange,
        responses=shapes.ExportTemplateShape,
        tags=["exports"],
    )
    def put(self, request: Request, pk: UUID) -> Response:
        """Change what is named; the owner, or whoever manages table permissions."""
        given = self.body(shapes.ExportTemplateChange)
        version = given.pop("version", None)
        template = operations.update_template(self.template(pk, "change"), given, by=request.user, version=version)
        return Response(shapes.ExportTemplateShape(template).data)

    @extend_schema(operation_id="delete_export_template", responses={200: Message}, tags=["exports"])
    def delete(self, request: Request, pk: UUID) -> Response:
        """Remove the template and its schedules; its exports stay."""
        template = self.template(pk, "delete")
        operations.delete_template(template, by=request.user)
        return Response({"message": say("“{template}” is removed.", template=template.name)})


class RunTemplate(TemplateApi):
    rate = "export_create"

    @extend_schema(
        operation_id="run_export_template", request=None, responses={201: shapes.ExportJobShape}, tags=["exports"]
    )
    @once
    def post(self, request: Request, pk: UUID) -> Response:
        """Export what the template says, with your rights."""
        with transaction.atomic():
            job = operations.run_template(self.template(pk, "run"), by=request.user, trigger="api")
            announce(job)
        return Response(shapes.ExportJobShape(job).data, status=201)


class Schedules(TemplateApi):
    @extend_schema(
        operation_id="list_export_schedules",
        parameters=[SliceParameters],
        responses=slice_of("ExportScheduleSlice", "schedules", shapes.ExportScheduleShape),
        tags=["exports"],
    )
    def get(self, request: Request) -> Response:
        """Your schedules, newest first, with their last runs."""
        given = self.query(SliceParameters)
        found = policy.restrict(ExportSchedule.objects.select_related("template"), request.user)
        return sliced(found, given, "schedules", lambda row: shapes.ExportScheduleShape(row).data)

    @extend_schema(
        operation_id="create_export_schedule",
        request=shapes.ExportScheduleBody,
        responses={201: shapes.ExportScheduleShape},
        tags=["exports"],
    )
    def post(self, request: Request) -> Response:
        """Run a template by the clock, as you."""
        given = self.body(shapes.ExportScheduleBody)
        template = self.template(given.pop("template_id"), "run")
        schedule = operations.create_schedule(template, given, by=request.user)
        return Response(shapes.ExportScheduleShape(schedule).data, status=201)


class OneSchedule(TemplateApi):
    @extend_schema(operation_id="get_export_schedule", responses=shapes.ExportScheduleShape, tags=["exports"])
    def get(self, request: Request, pk: UUID) -> Response:
        """One schedule, when it is due next, and its last runs."""
        return Response(shapes.ExportScheduleShape(self.schedule(pk)).data)

    @extend_schema(
        operation_id="change_export_schedule",
        request=shapes.ExportScheduleChange,
        responses=shapes.ExportScheduleShape,
        tags=["exports"],
    )
    def put(self, request: Request, pk: UUID) -> Response:
        """Change what is named; the next run is planned anew."""
        given: dict[str, Any] = self.body(shapes.ExportScheduleChange)
        given.pop("template_id", None)
        version = given.pop("version", None)
        schedule = operations.update_schedule(self.schedule(pk), given, by=request.user, version=version)
        return Response(shapes.ExportScheduleShape(schedule).data)

    @extend_schema(operation_id="delete_export_schedule", responses={200: Message}, tags=["exports"])
    def delete(self, request: Request, pk: UUID) -> Response:
        """Stop it for good; its exports stay until they expire."""
        schedule = self.schedule(pk)
        schedule.delete()
        return Response({"message": say("The schedule is removed.")})


class RunNow(TemplateApi):
    rate = "export_create"

    @extend_schema(
        operation_id="run_export_schedule", request=None, responses={202: shapes.ExportJobShape}, tags=["exports"]
    )
    @once
    def post(self, request: Request, pk: UUID) -> Response:
        """Export at once; the plan is not moved."""
        with transaction.atomic():
            job = operations.run_now(self.schedule(pk))
            announce(job)
        return Response(shapes.ExportJobShape(job).data, status=202)
