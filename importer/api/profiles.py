"""`/api/import/profiles`: connections, their tests, copies and who may use them (P15)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q, Window
from django.db.models.functions import RowNumber
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from importer import operations
from importer.api import profile_shapes as shapes
from importer.api.job_shapes import JobSummary
from importer.api.query_shapes import Query, mappings_of
from importer.models import ImportJob, ImportProfile
from importer.operations import sharing
from importer.sources.params import ConnectionParams
from permissions import policy, roles
from servicevault.api.documents import Message, envelope, page_of
from servicevault.api.views import ApiView, PageParameters, listed
from servicevault.wording import say

RECENT = 3


class ImportApi(ApiView):
    """An endpoint of the import system; all need `system.import`."""

    rate = "profiles"
    needs = ("system.import",)

    def profile(self, pk: UUID, action: str = "view") -> ImportProfile:
        """The profile, if the caller may do this with it: else 404 or 403 (C11)."""
        visible = ImportProfile.objects.filter(deleted_at=None).select_related("template", "created_by")
        return policy.fetch(visible, self.request.user, action, pk)


class ProfileParameters(PageParameters):
    database_type = serializers.CharField(required=False, max_length=32)
    active = serializers.BooleanField(required=False, allow_null=True, default=None)
    search = serializers.CharField(required=False, max_length=255)


def shown(profiles: list[ImportProfile], user: Any) -> list[dict[str, Any]]:
    """Profiles as JSON with their newest jobs; one query for all jobs."""
    newest: dict[UUID, list[ImportJob]] = defaultdict(list)
    jobs = operations.visible_jobs(user).filter(profile__in=profiles)
    place = Window(RowNumber(), partition_by=F("profile_id"), order_by=[F("created_at").desc(), F("number").desc()])
    for job in jobs.select_related("profile").annotate(place=place).filter(place__lte=RECENT).order_by("place"):
        newest[job.source_profile.pk].append(job)
    return [dict(shapes.Profile(profile, context={"jobs": newest}).data) for profile in profiles]


class Profiles(ImportApi):
    @extend_schema(
        operation_id="list_profiles",
        parameters=[ProfileParameters],
        responses=page_of("ProfilePage", shapes.Profile),
        tags=["profiles"],
    )
    def get(self, request: Request) -> Response:
        """The profiles you may see, by name."""
        given = self.query(ProfileParameters)
        found = policy.restrict(ImportProfile.objects.filter(deleted_at=None), request.user)
        if given.get("database_type"):
            found = found.filter(database_type=given["database_type"])
        if given["active"] is not None:
            found = found.filter(is_active=given["active"])
        if text := given.get("search"):
            found = found.filter(
                Q(name__icontains=text)
                | Q(description__icontains=text)
                | Q(host__icontains=text)
                | Q(database__icontains=text)
            )
        found = found.select_related("template", "created_by").order_by("name", "id")
        answer = listed(found, given, lambda profile: profile)
        answer.data["data"] = shown(answer.data["data"], request.user)
        return answer

    @extend_schema(
        operation_id="create_profile",
        request=shapes.ProfileBody,
        responses={201: envelope("ProfileCreated", message=serializers.CharField(), profile=shapes.Profile())},
        tags=["profiles"],
    )
    def post(self, request: Request) -> Response:
        """Store a connection. It is tried first: when that fails nothing is stored, unless `?skip_test=1`."""
        policy.require(request.user, *roles.CONFIGURE)
        values = self.body(shapes.ProfileBody)
        profile = operations.create_profile(values, by=request.user, skip_test=_skips(request))
        return Response(
            {"message": say("The profile is stored."), "profile": shown([profile], request.user)[0]}, status=201
        )


class OneProfile(ImportApi):
    @extend_schema(
        operation_id="get_profile",
        responses=envelope(
            "ProfileWithQueries",
            profile=shapes.Profile(),
            queries=Query(many=True),
            jobs=JobSummary(many=True),
            mappings=serializers.ListField(child=serializers.DictField()),
        ),
        tags=["profiles"],
    )
    def get(self, request: Request, pk: UUID) -> Response:
        """One profile with its queries in run order, its ten newest jobs and all mappings."""
        profile = self.profile(pk)
        jobs = operations.found_jobs(request.user, operations.JobFilter(profile_id=profile.pk))[:10]
        return Response(
            {
                "profile": shown([profile], request.user)[0],
                "queries": [Query(query).data for query in profile.queries.all()],
                "jobs": [JobSummary(job).data for job in jobs],
                "mappings": mappings_of(profile),
            }
        )

    @extend_schema(
        operation_id="replace_profile",
        request=shapes.ProfileChange,
        responses=envelope("ProfileChanged", message=serializers.CharField(), profile=shapes.Profile()),
        tags=["profiles"],
    )
    def put(self, request: Request, pk: UUID) -> Response:
        """Change the members that are sent; a changed host, port, database or username needs the password again."""
        profile = self.profile(pk, "change")
        values = self.body(shapes.ProfileChange)
        changed = operations.update_profile(
            profile, values, by=request.user, version=values.get("version"), skip_test=_skips(request)
        )
        return Response({"message": say("The profile is changed."), "profile": shown([changed], request.user)[0]})

    @extend_schema(
        operation_id="change_profile",
        request=shapes.ProfileChange,
        responses=envelope("ProfilePatched", message=serializers.CharField(), profile=shapes.Profile()),
        tags=["profiles"],
    )
    def patch(self, request: Request, pk: UUID) -> Response:
        """The same as PUT."""
        return self.put(request, pk)

    @extend_schema(operation_id="delete_profile", responses={200: Message}, tags=["profiles"])
    def delete(self, request: Request, pk: UUID) -> Response:
        """Take the profile away and erase its password; its jobs and records stay readable."""
        operations.delete_profile(self.profile(pk, "delete"), by=request.user)
        return Response({"message": say("The profile is deleted.")})


TESTED = envelope("Tested", connection_test=shapes.ConnectionTested())


class TestConnection(ImportApi):
    rate = "connection_test"

    @extend_schema(
        operation_id="test_connection", request=shapes.ConnectionBody, responses={200: TESTED}, tags=["profiles"]
    )
    def post(self, request: Request) -> Response:
        """Try a connection stage by stage without storing it; 400 when it cannot be made."""
        policy.require(request.user, *roles.CONFIGURE)
        test = operations.try_connection(operations.connection_of(self.body(shapes.ConnectionBody)))
        return _tested(test)


class TestProfile(ImportApi):
    rate = "connection_test"

    @extend_schema(operation_id="test_profile", request=None, responses={200: TESTED}, tags=["profiles"])
    def post(self, request: Request, pk: UUID) -> Response:
        """Try the stored connection and remember how it went."""
        return _tested(operations.try_profile(self.profile(pk, "change"), by=request.user))


def _tested(test: Any) -> Response:
    if not test.success:
        raise operations.ConnectionTestFailed(test)
    return Response({"connection_test": test.as_dict()})


class Url(serializers.Serializer[Any]):
    url = serializers.CharField(max_length=4096, trim_whitespace=True)


class ParseUrl(ImportApi):
    @extend_schema(
        operation_id="parse_connection_url",
        request=Url,
        responses={
            200: envelope(
                "UrlParsed",
                connection=serializers.DictField(),
                unused_parameters=serializers.ListField(child=serializers.CharField()),
            )
        },
        tags=["profiles"],
    )
    def post(self, request: Request) -> Response:
        """The fields of a `postgresql://` address, and its parameters that are not used (P18)."""
        policy.require(request.user, *roles.CONFIGURE)
        params, unused = ConnectionParams.from_url(self.body(Url)["url"])
        values = asdict(params)
        values["has_password"] = bool(values.pop("password"))
        return Response({"connection": values, "unused_parameters": unused})


class Duplicate(ImportApi):
    @extend_schema(
        operation_id="duplicate_profile",
        request=shapes.DuplicateBody,
        responses={201: envelope("ProfileCopied", message=serializers.CharField(), profile=shapes.Profile())},
        tags=["profiles"],
    )
    def post(self, request: Request, pk: UUID) -> Response:
        """An independent copy with connection and queries, without history (D1-D5)."""
        profile = self.profile(pk, "change")
        given = self.body(shapes.DuplicateBody)
        copy = operations.duplicate_profile(
            profile,
            given["name"],
            by=request.user,
            description=given.get("description"),
            new_source=given["source_key"] == "new",
        )
        return Response(
            {"message": say("The profile is copied."), "profile": shown([copy], request.user)[0]}, status=201
        )


class ProfileAccess(ImportApi):
    @extend_schema(operation_id="get_profile_access", responses=shapes.Access, tags=["profiles"])
    def get(self, request: Request, pk: UUID) -> Response:
        """Who may see and use the profile."""
        return Response(sharing.access_of(self.profile(pk, "change")))

    @extend_schema(
        operation_id="set_profile_access", request=shapes.Access, responses={200: shapes.Access}, tags=["profiles"]
    )
    def put(self, request: Request, pk: UUID) -> Response:
        """Set visibility, all grants and, with `owner_id`, the owner; people who are not named lose their rights."""
        profile = self.profile(pk, "change")
        given = self.body(shapes.Access)
        grants = {item["user_id"]: set(item["rights"]) for item in given["grants"]}
        with transaction.atomic():
            if given.get("owner_id"):
                sharing.hand_over(profile, given["owner_id"], by=request.user)
            return Response(sharing.set_access(profile, given["visibility"], grants, by=request.user))


class Mappings(ImportApi):
    @extend_schema(
        operation_id="list_mappings",
        responses=envelope("Mappings", data=serializers.ListField(child=serializers.DictField())),
        tags=["queries"],
    )
    def get(self, request: Request, pk: UUID) -> Response:
        """All mappings of all queries, flat; they are changed with their queries (M12)."""
        return Response({"data": mappings_of(self.profile(pk))})


def _skips(request: Request) -> bool:
    return request.query_params.get("skip_test") in ("1", "true")
