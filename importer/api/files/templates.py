"""Import templates: how files of one kind are read and mapped (F-069)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from importer.api.files import shapes
from importer.api.files.jobs import JobApi
from importer.models import ImportTemplate
from importer.operations import files
from importer.operations.files import templates
from servicevault.api.documents import envelope
from servicevault.api.slices import SliceParameters, slice_of, sliced
from servicevault.api.views import ApiView
from servicevault.wording import say


class Parameters(SliceParameters):
    table_name = serializers.CharField(required=False, max_length=shapes.NAME)
    target_type = serializers.CharField(required=False, max_length=64)


class TemplateBody(serializers.Serializer[Any]):
    partial_body = False  # what is absent stays as it is
    name = serializers.CharField(max_length=120)
    table_name = serializers.CharField(max_length=shapes.NAME, trim_whitespace=False, required=False)
    target_type = serializers.CharField(max_length=64, required=False, help_text="in place of a table")
    field_mappings = shapes.AnyField(default=list, help_text="Of a document an object with a list for each part.")
    import_options = serializers.DictField(
        default=dict, help_text="With `tables` the template is for documents, and `parts` holds options of its parts."
    )
    is_public = serializers.BooleanField(default=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        of_document = bool(attrs.get("import_options", {}).get("tables"))  # its parts say where they go
        if self.partial_body or of_document:
            return attrs
        if bool(attrs.get("table_name")) == bool(attrs.get("target_type")):
            raise serializers.ValidationError({"table_name": [say("A template is for a table or for a target type.")]})
        return attrs


class ChangedTemplate(TemplateBody):
    """What is absent stays as it is."""

    partial_body = True
    name = serializers.CharField(max_length=120, required=False)
    field_mappings = shapes.AnyField(required=False)
    import_options = serializers.DictField(required=False)
    is_public = serializers.BooleanField(required=False)


class TemplateShape(serializers.ModelSerializer[ImportTemplate]):
    created_by = serializers.UUIDField(source="created_by_id")
    field_mappings = shapes.AnyField(help_text="Of a document an object with a list for each part.")
    import_options = serializers.DictField()

    class Meta:
        model = ImportTemplate
        fields = (
            "id", "name", "table_name", "target_type", "field_mappings", "import_options", "is_public", "usage_count",
            "last_used_at", "created_by", "created_at", "updated_at",
        )  # fmt: skip


class Templates(ApiView):
    rate = "monitoring"

    @extend_schema(
        operation_id="list_import_templates",
        parameters=[Parameters],
        responses=slice_of("ImportTemplateSlice", "templates", TemplateShape),
        tags=["file imports"],
    )
    def get(self, request: Request) -> Response:
        """Your own templates and public ones, by name."""
        given = self.query(Parameters)
        found = templates.visible(request.user, **shapes.goes_to(given))
        return sliced(found, given, "templates", lambda template: TemplateShape(template).data)

    @extend_schema(
        operation_id="create_import_template",
        request=TemplateBody,
        responses={201: TemplateShape},
        tags=["file imports"],
    )
    def post(self, request: Request) -> Response:
        """Keep how files of one kind are read and mapped."""
        template = templates.save(request.user, self.body(TemplateBody))
        template.refresh_from_db()
        return Response(TemplateShape(template).data, status=201)


class OneTemplate(ApiView):
    rate = "monitoring"

    @extend_schema(operation_id="get_import_template", responses=TemplateShape, tags=["file imports"])
    def get(self, request: Request, pk: int) -> Response:
        """One template."""
        return Response(TemplateShape(templates.fetch(request.user, pk)).data)

    @extend_schema(
        operation_id="replace_import_template",
        request=ChangedTemplate,
        responses=TemplateShape,
        tags=["file imports"],
    )
    def put(self, request: Request, pk: int) -> Response:
        """Change a template; what is absent stays."""
        template = templates.fetch(request.user, pk, change=True)
        return Response(TemplateShape(templates.save(request.user, self.body(ChangedTemplate), template)).data)

    @extend_schema(operation_id="delete_import_template", responses={204: None}, tags=["file imports"])
    def delete(self, request: Request, pk: int) -> Response:
        """Delete a template; imports that used it stay."""
        templates.delete(request.user, templates.fetch(request.user, pk, change=True))
        return Response(status=204)


class Apply(JobApi):
    @extend_schema(
        operation_id="apply_import_template",
        request=shapes.ApplyTemplateBody,
        responses=envelope("AppliedTemplate", job=shapes.UploadedJob(), differences=shapes.Difference(many=True)),
        tags=["file imports"],
    )
    def post(self, request: Request, pk: UUID) -> Response:
        """Read and map a waiting file as a template says, and tell where the two differ; it must be validated again."""
        job = self.own(pk)
        template = templates.fetch(request.user, self.body(shapes.ApplyTemplateBody)["template_id"])
        found = files.apply(template, job, request.user)
        return Response({"job": files.described(job), "differences": [asdict(each) for each in found]})
