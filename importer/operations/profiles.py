"""Profiles: create, test, edit, duplicate, switch off, delete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from zoneinfo import available_timezones

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.text import slugify

from importer import crypto, gateway
from importer.errors import ImporterError
from importer.models import AgentChoice, ImportJob, ImportProfile, ImportQuery
from importer.modes import mode_of
from importer.operations.failures import Conflict, InvalidFields, ProfileBusy, VersionConflict
from importer.options import InvalidOption, checked
from importer.sources.params import ConnectionParams
from importer.sources.probe import ConnectionTest, test_connection
from permissions import audit, policy
from servicevault.jobs.models import ACTIVE
from servicevault.wording import say

CONNECTION = ("host", "port", "database", "username", "password", "ssl_mode", "ssl_root_cert")
PLACE = ("host", "port", "database", "username")
LOGIN = PLACE  # a change of these needs the password again (P8)
EDITABLE = (
    "name", "description", "notes", "source_key", "source_timezone", "timezone_confirmed", "import_mode", "matching",
    "account_strategy", "agent_strategy", "placeholder_agent", "number_prefix", "requires_approval", "visibility",
    "is_active", "parameters",
)  # fmt: skip
RECORDED = (*EDITABLE, *PLACE, "ssl_mode", "ssl_root_cert")  # whose change is on record by name
NOT_AVAILABLE = {"mysql": "MySQL", "sqlite": "SQLite"}  # P4


class ConnectionTestFailed(ImporterError):
    """The connection could not be made; `test` tells stage, cause and remedy (P2)."""

    code = "connection_failed"

    def __init__(self, test: ConnectionTest) -> None:
        self.test = test
        failed = next((check for check in test.checks if check.status == "failed"), None)
        self.stage = failed.name if failed else ""
        super().__init__(
            failed.message if failed else test.message,
            hint=failed.remedy if failed else "",
            where=self.stage,
            code="host_not_allowed" if test.error_code == "host_not_allowed" else "",
        )


# -- connections -------------------------------------------------------------------------------------------------


def connection_of(values: Mapping[str, Any]) -> ConnectionParams:
    """Connection parameters from plain values. Raises InvalidFields naming the member that cannot be right."""
    check_database_type(values.get("database_type"))
    params = ConnectionParams(**{name: values[name] for name in CONNECTION if values.get(name) is not None})
    try:
        params.validate()
    except ImporterError as error:
        raise InvalidFields({error.where: [error.message]}) from None
    if not params.password:
        raise InvalidFields({"password": [say("A password is needed.")]})
    return params


def check_database_type(value: Any) -> None:
    """Raise InvalidFields for anything but PostgreSQL, and say how other databases get here (P4)."""
    if value in (None, "", "postgresql", "postgres"):
        return
    if value in NOT_AVAILABLE:
        sentence = say(
            "Only PostgreSQL can be connected. Load a staging copy of the {engine} database into "
            "PostgreSQL, for example with pgloader, and connect to that.",
            engine=NOT_AVAILABLE[value],
        )
    else:
        sentence = say("The database type is postgresql.")
    raise InvalidFields({"database_type": [sentence]})


def try_connection(params: ConnectionParams, *, profile: ImportProfile | None = None, by: Any = None) -> ConnectionTest:
    """Test a connection stage by stage (P16); a failure is in the result. The test is on record, with the place asked."""
    test = test_connection(params, policy=gateway.host_policy(), limits=gateway.limits())
    audit.record(
        "connection_tested",
        user=by,
        profile_id=profile.pk if profile is not None else None,
        result="ok" if test.success else "failed",
        details={name: getattr(params, name) for name in PLACE},
    )
    return test


def try_profile(profile: ImportProfile, *, by: Any = None) -> ConnectionTest:
    """Test a stored profile's connection and remember when, by whom and how it went (P11)."""
    test = try_connection(gateway.params_of(profile), profile=profile, by=by)
    _remember(profile, test, by)
    profile.save(update_fields=["last_tested_at", "last_test_result"])
    return test


def try_changes(profile: ImportProfile, values: Mapping[str, Any], *, by: Any = None) -> ConnectionTest:
    """Test the connection a profile would have with these values; nothing of them is stored. Raises InvalidFields."""
    params = _changed_connection(profile, values)
    return try_profile(profile, by=by) if params is None else try_connection(params, profile=profile, by=by)


def _remember(profile: ImportProfile, test: ConnectionTest, by: Any) -> None:
    profile.last_tested_at = timezone.now()
    failed = next((check for check in test.checks if check.status == "failed"), None)
    profile.last_test_result = {
        "success": test.success,
        "message": test.message,
        "checked_by": str(by) if by else "",
        "stage": failed.name if failed else "",
        "server": str(test.server_info.get("version", "")),
        "warnings": [warning.code for warning in test.warnings],
    }


# -- create and change -------------------------------------------------------------------------------------------


def create_profile(values: Mapping[str, Any], *, by: Any, skip_test: bool = False) -> ImportProfile:
    """A new profile. The connection is tried first; when that fails nothing is stored, unless `skip_test` (P2).

    Raises InvalidFields, ConnectionTestFailed.
    """
    params = connection_of(values)
    profile = ImportProfile(created_by=by, changed_by=by)
    _assign(profile, values)
    profile.source_key = profile.source_key or free_source_key(profile.name)
    _assign_connection(profile, params)
    _check_source_key(profile, by)
    _check(profile)
    if not skip_test:
        test = try_connection(params, by=by)
        if not test.success:
            raise ConnectionTestFailed(test)
        _remember(profile, test, by)
    with transaction.atomic():
        profile.save()
        _record("profile_created", profile, by, **{name: getattr(profile, name) for name in ("name", *PLACE)})
    return profile


def update_profile(
    profile: ImportProfile, values: Mapping[str, Any], *, by: Any, version: int | None = None, skip_test: bool = False
) -> ImportProfile:
    """Change what `values` name; the rest stays, an absent or empty password too (C10, P8).

    A changed place or login needs the password typed again, so that a stored one cannot be sent elsewhere, and is
    tried before it is stored. Raises InvalidFields, ConnectionTestFailed, VersionConflict.
    """
    check_database_type(values.get("database_type"))
    try:
        return _updated(profile, values, by=by, version=version, skip_test=skip_test)
    except ConnectionTestFailed:  # the entry of the test went with the transaction
        tried = {name: values.get(name) or getattr(profile, name) for name in PLACE}
        audit.record("connection_tested", user=by, profile_id=profile.pk, result="failed", details=tried)
        raise


def _updated(
    profile: ImportProfile, values: Mapping[str, Any], *, by: Any, version: int | None, skip_test: bool
) -> ImportProfile:
    with transaction.atomic():
        profile = ImportProfile.objects.select_for_update(of=("self",)).get(pk=profile.pk)
        if version is not None and version != profile.version:
            raise VersionConflict(profile.name, changed_by=profile.changed_by, changed_at=profile.updated_at)
        before = {name: getattr(profile, name) for name in RECORDED}
        params = _changed_connection(profile, values)
        _assign(profile, values)
        if params is not None:
            _assign_connection(profile, params)
        if before["requires_approval"] and not profile.requires_approval and by is not None:
            policy.require(by, "import.approve")  # else who needs consent could do without it
        if profile.source_key != before["source_key"]:
            _check_source_key(profile, by)
        _check(profile)
        if params is not None and not skip_test:
            test = try_connection(params, profile=profile, by=by)
            if not test.success:
                raise ConnectionTestFailed(test)
            _remember(profile, test, by)
        elif params is not None:
            profile.last_tested_at, profile.last_test_result = None, None
        profile.changed_by = by
        profile.version += 1
        profile.save()
        changed = [name for name, value in before.items() if getattr(profile, name) != value]
        _record("profile_updated", profile, by, fields=changed)
        if params is not None:
            _record("credentials_changed", profile, by)
    return profile


def _record(operation: str, profile: ImportProfile, by: Any, **details: Any) -> None:
    audit.record(operation, user=by, profile_id=profile.pk, obj=profile, details=details)


def _changed_connection(profile: ImportProfile, values: Mapping[str, Any]) -> ConnectionParams | None:
    """The connection the profile shall have, or None when it stays."""
    given = {name: values[name] for name in CONNECTION if values.get(name) is not None}
    password = given.pop("password", "")
    changed = {name for name, value in given.items() if value != getattr(profile, name)}
    if not changed and not password:
        return None
    if changed & set(LOGIN) and not password:
        raise InvalidFields({"password": [say("Type the password again: the place or the login was changed.")]})
    stored = gateway.params_of(profile) if not password else replace(_without_password(profile), password=password)
    params = replace(stored, **given)
    try:
        params.validate()
    except ImporterError as error:
        raise InvalidFields({error.where: [error.message]}) from None
    return params


def _without_password(profile: ImportProfile) -> ConnectionParams:
    return ConnectionParams(**{name: getattr(profile, name) for name in CONNECTION if name != "password"})


def _assign(profile: ImportProfile, values: Mapping[str, Any]) -> None:
    """Put the editable members in, canonical. Raises InvalidFields."""
    errors: dict[str, list[str]] = {}
    given = {name: values[name] for name in EDITABLE if name in values and values[name] is not None}
    if "import_mode" in given:
        try:
            given["import_mode"] = mode_of(str(given["import_mode"]))
        except ValueError:
            errors["import_mode"] = [say("Use create, update or upsert.")]
    if "source_timezone" in given and given["source_timezone"] not in available_timezones():
        errors["source_timezone"] = [
            say(
                "“{source_timezone}” is not a time zone, such as Europe/Berlin.",
                source_timezone=given["source_timezone"],
            )
        ]
    if given.get("matching"):
        try:
            checked({"matching": given["matching"]})
        except InvalidOption as error:
            errors["matching"] = [str(error)]
    if errors:
        raise InvalidFields(errors)
    if given.get("source_timezone", profile.source_timezone) != profile.source_timezone:
        profile.timezone_confirmed = True  # a person chose it
    for name, value in given.items():
        setattr(profile, name, value.strip() if name == "name" else value)


def _assign_connection(profile: ImportProfile, params: ConnectionParams) -> None:
    for name in CONNECTION:
        if name != "password":
            setattr(profile, name, getattr(params, name))
    profile.secret = crypto.seal(params.password, owner=profile.pk)
    profile.password_set_at = timezone.now()


def _check(profile: ImportProfile) -> None:
    taken = ImportProfile.objects.filter(name__iexact=profile.name, deleted_at=None).exclude(pk=profile.pk)
    if taken.exists():
        raise InvalidFields({"name": [say("There is a profile named “{profile}” already.", profile=profile.name)]})
    try:
        profile.full_clean(exclude=["created_by", "changed_by", "template"], validate_constraints=False)
    except ValidationError as error:
        raise InvalidFields.of(error) from None


def _check_source_key(profile: ImportProfile, by: Any) -> None:
    """Profiles with one key share external ids, so one may write what another imported: only who may change all."""
    others = ImportProfile.objects.filter(source_key=profile.source_key, deleted_at=None).exclude(pk=profile.pk)
    if by is not None and not all(policy.can(by, "change", other) for other in others):
        raise InvalidFields(
            {
                "source_key": [
                    say("“{source_key}” is the key of a source you may not change.", source_key=profile.source_key)
                ]
            }
        )


def save_connection(profile: ImportProfile, params: ConnectionParams) -> ImportProfile:
    """Store where the source is and how to log in, untested; the password is encrypted for this row."""
    params.validate()
    operation = "profile_created" if profile._state.adding else "credentials_changed"
    _assign_connection(profile, params)
    profile.source_key = profile.source_key or free_source_key(profile.name)
    with transaction.atomic():
        profile.save()
        _record(operation, profile, None, name=profile.name)
    return profile


def profile_named(name: str, params: ConnectionParams, *, created_by: Any = None) -> tuple[ImportProfile, bool]:
    """The profile of that name with this connection, and whether it is new.

    The name decides, case-insensitively: running again with another password or host changes the stored one.
    """
    profile = ImportProfile.objects.filter(name__iexact=name, deleted_at=None).first()
    created = profile is None
    profile = profile or ImportProfile(name=name, created_by=created_by)
    return save_connection(profile, params), created


def set_timezone(profile: ImportProfile, zone: str) -> None:
    """Say in which zone the source writes timestamps without one; a person said so, so no warning remains (E40)."""
    profile.source_timezone, profile.timezone_confirmed = zone, True
    profile.save(update_fields=["source_timezone", "timezone_confirmed", "updated_at"])


def free_source_key(name: str) -> str:
    """A slug of the name that no other source uses."""
    base = slugify(name)[:56] or "source"
    taken = set(ImportProfile.objects.filter(source_key__startswith=base).values_list("source_key", flat=True))
    candidates = (base, *(f"{base}-{number}" for number in range(2, 10_000)))
    return next(candidate for candidate in candidates if candidate not in taken)


# -- copies and ends ---------------------------------------------------------------------------------------------

COPIED = (
    "host", "port", "database", "username", "ssl_mode", "ssl_root_cert", "notes", "source_key", "source_timezone",
    "timezone_confirmed", "import_mode", "matching", "account_strategy", "agent_strategy", "placeholder_agent_id",
    "number_prefix", "priority_order", "template_id", "template_version", "views", "parameters", "has_custom_queries",
    "requires_approval", "visibility",
)  # fmt: skip
COPIED_OF_A_QUERY = (
    "key", "name", "entity", "target_type", "spec", "value_maps", "variant", "position", "enabled", "disabled_reason",
)  # fmt: skip
COPIED_OF_A_CHOICE = ("entity", "external_id", "name", "action", "person_id", "person_name")


@transaction.atomic
def duplicate_profile(
    profile: ImportProfile, name: str, *, by: Any, description: str | None = None, new_source: bool = False
) -> ImportProfile:
    """An independent copy with connection, queries and settings, without history (D1-D5).

    It recognises the rows the original imported, because both name the same source; `new_source` gives it its own.
    Raises InvalidFields, SecretUnreadable.
    """
    copy = ImportProfile(
        name=(name or "").strip(), description=profile.description if description is None else description
    )
    for member in COPIED:
        setattr(copy, member, getattr(profile, member))
    if new_source:
        copy.source_key = free_source_key(copy.name)
    copy.sync = {**profile.sync, "sync_enabled": False} if profile.sync else {}  # D2
    copy.created_by = copy.changed_by = by
    if profile.secret is not None:
        copy.secret = crypto.seal(crypto.reveal(profile.secret, owner=profile.pk), owner=copy.pk)
        copy.password_set_at = timezone.now()
    if len(copy.description) > 1000:
        raise InvalidFields({"description": [say("A description of a copy has at most 1,000 characters.")]})
    _check(copy)
    copy.save()
    ImportQuery.objects.bulk_create(
        ImportQuery(profile=copy, changed_by=by, **{member: getattr(query, member) for member in COPIED_OF_A_QUERY})
        for query in profile.queries.all()
    )
    AgentChoice.objects.bulk_create(
        AgentChoice(profile=copy, changed_by=by, **{member: getattr(choice, member) for member in COPIED_OF_A_CHOICE})
        for choice in profile.agent_choices.all()
    )
    _record("profile_duplicated", copy, by, copy_of=profile.pk)
    if copy.secret is not None:
        _record("credentials_copied", copy, by, copy_of=profile.pk)
    return copy


@transaction.atomic
def delete_profile(profile: ImportProfile, *, by: Any = None) -> None:
    """Take the profile away and erase its password; jobs, records and references stay readable (P9).

    Raises ProfileBusy while a job is unfinished.
    """
    profile = ImportProfile.objects.select_for_update(of=("self",)).get(pk=profile.pk)
    running = list(ImportJob.objects.filter(profile=profile, status__in=ACTIVE).values_list("number", flat=True))
    if running:
        raise ProfileBusy(profile, running)
    profile.secret, profile.password_set_at = None, None
    profile.is_active, profile.deleted_at, profile.changed_by = False, timezone.now(), by
    profile.version += 1
    profile.save()
    profile.drafts.all().delete()
    _record("profile_deleted", profile, by, name=profile.name)


def check_active(profile: ImportProfile) -> None:
    """Raise Conflict when the profile is switched off or gone (P12)."""
    if not profile.is_active or profile.deleted_at:
        raise Conflict(
            say("“{profile}” is switched off.", profile=profile.name),
            hint=say("Activate it first."),
            code="profile_inactive",
        )
