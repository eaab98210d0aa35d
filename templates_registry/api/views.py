"""`/api/import/templates` and what a profile does with them (T14)."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from importer.api.profile_shapes import Profile
from importer.api.profiles import ImportApi, shown
from importer.api.query_shapes import Query, without_trees
from permissions import policy
from servicevault.api.documents import Message, envelope
from servicevault.api.views import listed
from servicevault.wording import say
from templates_registry import operations
from templates_registry.api import shapes
from templates_registry.api.failures import linted
from templates_registry.models import Template

MANAGE = "system.configure"
SAVED = envelope("TemplateSaved", message=serializers.CharField(), template=shapes.TemplateShown())
MOST_BYTES = 5 * 1024 * 1024  # of an uploaded pack; N-151


class TemplateApi(ImportApi):
    rate = "templates"

    def template(self, pk: UUID) -> Template:
        found = Template.objects.filter(pk=pk).first()
        if found is None:
            raise Http404
        return found


class Templates(TemplateApi):
    @extend_schema(
        operation_id="list_templates",
        parameters=[shapes.TemplateParameters],
        responses=inline_serializer(
            "TemplatePage", {"data": shapes.TemplateListed(many=True), "meta": serializers.DictField()}
        ),
        tags=["templates"],
    )
    def get(self, request: Request) -> Response:
        """The templates there are, by name; only active ones unless `active=false`."""
        given = self.query(shapes.TemplateParameters)
        filters = {
            name: given[name]
            for name in ("search", "platform", "source_type", "database_type", "active")
            if name in given
        }
        found = operations.templates(**filters)
        more = {"filters_applied": filters}
        return listed(found, given, lambda template: shapes.TemplateListed(template).data, more=more)

    @extend_schema(
        operation_id="create_template", request=OpenApiTypes.OBJECT, responses={201: SAVED}, tags=["templates"]
    )
    def post(self, request: Request) -> Response:
        """Store a template of this definition (T6)."""
        policy.require(request.user, MANAGE)
        template = operations.create(_definition(request), by=request.user)
        return Response(
            {"message": say("The template is stored."), "template": shapes.TemplateShown(template).data}, status=201
        )


class OneTemplate(TemplateApi):
    @extend_schema(operation_id="get_template", responses=shapes.TemplateShown, tags=["templates"])
    def get(self, request: Request, pk: UUID) -> Response:
        """One template with its configuration, probes, changelog and signature."""
        return Response(shapes.TemplateShown(self.template(pk)).data)

    @extend_schema(
        operation_id="replace_template", request=OpenApiTypes.OBJECT, responses={200: SAVED}, tags=["templates"]
    )
    def put(self, request: Request, pk: UUID) -> Response:
        """Give the template another definition; profiles keep their copies."""
        policy.require(request.user, MANAGE)
        template = operations.update(self.template(pk), _definition(request), by=request.user)
        return Response({"message": say("The template is changed."), "template": shapes.TemplateShown(template).data})

    @extend_schema(operation_id="delete_template", responses={200: Message}, tags=["templates"])
    def delete(self, request: Request, pk: UUID) -> Response:
        """Delete the template; profiles that were made of it keep their queries."""
        policy.require(request.user, MANAGE)
        operations.delete(self.template(pk))
        return Response({"message": say("The template is deleted.")})


class Format(serializers.Serializer[Any]):
    format = serializers.ChoiceField(["json", "yaml", "zip"], default="json")


class Export(TemplateApi):
    @extend_schema(
        operation_id="export_template",
        parameters=[Format],
        responses={
            (200, "application/json"): OpenApiTypes.OBJECT,
            (200, "application/yaml"): OpenApiTypes.BINARY,
            (200, "application/zip"): OpenApiTypes.BINARY,
        },
        tags=["templates"],
    )
    def get(self, request: Request, pk: UUID) -> HttpResponse:
        """The template as a file; importing it and exporting again gives the same bytes (T11)."""
        found = operations.export_template(self.template(pk), self.query(Format)["format"])
        return HttpResponse(
            found.content,
            content_type=found.content_type,
            headers={"Content-Disposition": f'attachment; filename="{found.filename}"'},
        )

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        return self.get_renderers()[0], "application/json"  # `format` names the file's form, not the answer's


class Import(TemplateApi):
    parser_classes = [MultiPartParser]

    @extend_schema(
        operation_id="import_template",
        request={
            "multipart/form-data": {
                "type": "object",
                "properties": {"file": {"type": "string", "format": "binary"}},
                "required": ["file"],
            }
        },
        responses={
            201: envelope(
                "TemplateImported",
                message=serializers.CharField(),
                template=shapes.TemplateShown(),
                warnings=serializers.ListField(child=serializers.CharField()),
            )
        },
        tags=["templates"],
    )
    def post(self, request: Request) -> Response:
        """Install a template from a JSON, YAML or zip file; one of the same platform and name is replaced."""
        policy.require(request.user, MANAGE)
        sent = request.FILES.get("file")
        if sent is None:
            raise serializers.ValidationError({"file": [say("Send the file as the form field “file”.")]})
        if (sent.size or 0) > MOST_BYTES:
            raise serializers.ValidationError({"file": [say("A pack has at most 5 MB.")]})
        found = operations.import_template(sent.read(), sent.name or "template", by=request.user)
        words = say("The template is stored.") if found.created else say("The template is replaced.")
        return Response(
            {
                "message": words,
                "template": shapes.TemplateShown(found.template).data,
                "warnings": list(found.warnings),
            },
            status=201,
        )


class Lint(TemplateApi):
    @extend_schema(
        operation_id="lint_template", request=OpenApiTypes.OBJECT, responses={200: shapes.Linted}, tags=["templates"]
    )
    def post(self, request: Request) -> Response:
        """Everything wrong with a definition; 200 also when it is not valid."""
        policy.require(request.user, MANAGE)
        text = json.dumps(_definition(request), ensure_ascii=False, indent=2)
        return Response(linted(operations.lint(text, "template.json")))


# -- a profile and its template ----------------------------------------------------------------------------------


class ProfileTemplate(TemplateApi):
    reads_source = True

    @extend_schema(
        operation_id="apply_template",
        request=shapes.ApplyBody,
        responses={
            200: envelope(
                "TemplateApplied",
                message=serializers.CharField(),
                profile=Profile(),
                queries=Query(many=True),
                fit=serializers.DictField(allow_null=True),
                warnings=serializers.ListField(child=serializers.CharField()),
            )
        },
        tags=["templates"],
    )
    def put(self, request: Request, pk: UUID) -> Response:
        """Copy the template's queries into the profile, fitted to its source (T3)."""
        profile = self.profile(pk, "change")
        given = self.body(shapes.ApplyBody)
        found = operations.apply(
            profile,
            self.template(given["template_id"]),
            strategy=given.get("strategy"),
            variant=given.get("variant"),
            parameters=given.get("parameters"),
        )
        found.profile.refresh_from_db()
        return Response(
            {
                "message": say("“{template}” is applied.", template=found.template.name),
                "profile": shown([found.profile], request.user)[0],
                "queries": [Query(query).data for query in found.queries],
                "fit": found.report.as_dict() if found.report else None,
                "warnings": list(found.warnings),
            }
        )

    @extend_schema(operation_id="remove_template", responses={200: Message}, tags=["templates"])
    def delete(self, request: Request, pk: UUID) -> Response:
        """Part the profile from its template; its queries stay."""
        operations.remove(self.profile(pk, "change"))
        return Response({"message": say("The template is removed; the queries stay.")})


class Detect(TemplateApi):
    reads_source = True

    @extend_schema(operation_id="detect_platform", responses=shapes.Detected, tags=["templates"])
    def get(self, request: Request, pk: UUID) -> Response:
        """Which help desk the source is, the likeliest first, with evidence; chooses nothing (T20)."""
        return Response(operations.detect(self.profile(pk, "change")).as_dict())


class Fit(TemplateApi):
    reads_source = True

    @extend_schema(
        operation_id="fit_template",
        parameters=[shapes.FitParameters],
        responses=OpenApiTypes.OBJECT,
        tags=["templates"],
    )
    def get(self, request: Request, pk: UUID) -> Response:
        """What of the template this source can feed, what is missing, what must be asked (T21)."""
        profile = self.profile(pk, "change")
        template = self.template(self.query(shapes.FitParameters)["template_id"])
        return Response(operations.fit(profile, template).as_dict())


class Upgrading(TemplateApi):
    reads_source = True

    @extend_schema(operation_id="get_template_upgrade", responses=shapes.Upgrade, tags=["templates"])
    def get(self, request: Request, pk: UUID) -> Response:
        """What the template's newer version would change in the profile; nothing is written (T17)."""
        return Response(_upgrade(operations.upgrade(self.profile(pk, "change"))))

    @extend_schema(
        operation_id="accept_template_upgrade",
        request=shapes.UpgradeBody,
        responses={200: shapes.Upgrade},
        tags=["templates"],
    )
    def post(self, request: Request, pk: UUID) -> Response:
        """Take the newer version over and keep a person's edits; conflicts are decided by path, mine or theirs."""
        profile = self.profile(pk, "change")
        decisions = self.body(shapes.UpgradeBody).get("decisions")
        return Response(_upgrade(operations.accept_upgrade(profile, decisions)))


def _upgrade(found: operations.Upgrade) -> dict[str, Any]:
    return {
        "from_version": found.from_version,
        "to_version": found.to_version,
        "is_needed": found.is_needed,
        "changes": [
            {
                "path": change.path,
                "old": without_trees(change.old),
                "new": without_trees(change.new),
                "mine": without_trees(change.mine),
                "is_conflict": change.is_conflict,
            }
            for change in found.changes
        ],
    }


class SaveAsTemplate(TemplateApi):
    @extend_schema(operation_id="save_as_template", request=shapes.SaveBody, responses={201: SAVED}, tags=["templates"])
    def post(self, request: Request, pk: UUID) -> Response:
        """A template of the profile's queries, without its connection (T10)."""
        profile = self.profile(pk, "change")
        policy.require(request.user, MANAGE)
        template = operations.save_as_template(profile, by=request.user, **self.body(shapes.SaveBody))
        return Response(
            {"message": say("The template is stored."), "template": shapes.TemplateShown(template).data}, status=201
        )


def _definition(request: Request) -> dict[str, Any]:
    if not isinstance(request.data, dict):
        raise serializers.ValidationError({"": [say("An object is expected.")]})
    return dict(request.data)
