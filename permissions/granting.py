"""Giving, changing and taking rights on tables (F-127, F-128, F-132); every change is on record."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.db.models import Model

from permissions import audit, policy, tables
from permissions.models import ExportPermission, ImportPermission
from servicevault import tables as database
from servicevault.tabular.formats import FORMATS
from servicevault.wording import say

PERMISSION = "data.permissions.manage"
KINDS: Mapping[str, type[ImportPermission | ExportPermission]] = {
    "import": ImportPermission,
    "export": ExportPermission,
}
_COMMON = ("can_preview", "allowed_formats", "allowed_columns", "requires_approval")
EDITABLE: Mapping[str, tuple[str, ...]] = {
    "import": (
        "can_import", "can_validate", *_COMMON, "max_file_size_mb", "max_rows_per_import", "max_imports_per_hour",
        "max_imports_per_day",
    ),
    "export": (
        "can_export", *_COMMON, "max_rows_per_export", "row_filter", "file_retention_hours", "max_exports_per_hour",
        "max_exports_per_day",
    ),
}  # fmt: skip
_NOTHING: dict[str, Any] = {"can_import": False, "can_validate": False, "can_preview": False, "can_export": False}
PRESETS: Mapping[str, dict[str, Any]] = {  # F-128
    "admin": {"max_file_size_mb": 100, "max_rows_per_import": 100_000},
    "manager": {"max_file_size_mb": 50, "max_rows_per_import": 50_000},
    "user": {"max_file_size_mb": 10, "max_rows_per_import": 10_000, "requires_approval": True},
    "viewer": _NOTHING,
}
LARGEST = 2_147_483_647  # an integer column


class Refused(ValueError):
    """Values that cannot be stored: `errors` has the sentences of each field."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        self.errors = {name: [text] for name, text in errors.items()}
        super().__init__(next(iter(errors.values())))


class AlreadyGranted(Exception):
    """There is a row for this person or role and table."""


class OwnRights(PermissionDenied):
    """A person changes no row that applies to themselves, super admins apart (F-132)."""

    def __init__(self) -> None:
        super().__init__(say("This row applies to you. Somebody else has to change it."))


@dataclass(frozen=True)
class Effective:
    """What counts for a person, and where it comes from."""

    source: str  # "own row", the role's name, "super admin" or "no row"
    imports: tables.ImportAllowance
    exports: tables.ExportAllowance
    export_source: str


# Whoever knows the structured filter of exports checks row_filter: (filter, table) → what is wrong, "" when nothing.
check_row_filter: list[Callable[[Mapping[str, Any], database.Table], str]] = []


@transaction.atomic
def grant(
    kind: str, *, by: Any, table_name: str, values: Mapping[str, Any], user: Any = None, role: Any = None
) -> ImportPermission | ExportPermission:
    """Give a person or a role a row for one table. Raises Denied, OwnRights, Refused, AlreadyGranted."""
    policy.require(by, PERMISSION)
    if (user is None) == (role is None):
        raise Refused({"user_id": say("Name a person or a role, not both.")})
    row = KINDS[kind](user=user, role=role, table_name=table_name)
    _check_not_own(row, by)
    _assign(kind, row, values)
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:
        raise AlreadyGranted(
            say(
                "{user} has a row for “{table_name}” already. Change that one.",
                user=user or role,
                table_name=table_name,
            )
        ) from None
    record("permission_granted", kind, row, by, given=_told({name: getattr(row, name) for name in EDITABLE[kind]}))
    return row


@transaction.atomic
def change(kind: str, row_id: Any, *, by: Any, values: Mapping[str, Any]) -> ImportPermission | ExportPermission:
    """Change what a row allows; fields that are absent stay. Raises Denied, OwnRights, Refused, DoesNotExist."""
    policy.require(by, PERMISSION)
    row = KINDS[kind].objects.select_for_update().get(pk=row_id)
    _check_not_own(row, by)
    before = {name: getattr(row, name) for name in EDITABLE[kind]}
    _assign(kind, row, values)
    row.save()
    changed = {name: value for name, value in before.items() if getattr(row, name) != value}
    record(
        "permission_changed",
        kind,
        row,
        by,
        old=_told(changed),
        new=_told({name: getattr(row, name) for name in changed}),
    )
    return row


@transaction.atomic
def revoke(kind: str, row_id: Any, *, by: Any) -> None:
    """Take a row away. Raises Denied, OwnRights, DoesNotExist."""
    policy.require(by, PERMISSION)
    row = KINDS[kind].objects.select_for_update().get(pk=row_id)
    _check_not_own(row, by)
    record("permission_revoked", kind, row, by)
    row.delete()


@transaction.atomic
def grant_many(
    kind: str, *, by: Any, table_names: Iterable[str], values: Mapping[str, Any], user: Any = None, role: Any = None
) -> list[str]:
    """One row for each table (F-127); rows that exist are changed. Returns the tables; all or none are written."""
    policy.require(by, PERMISSION)
    names = list(dict.fromkeys(table_names))
    if not names:
        raise Refused({"table_names": say("Choose a table.")})
    for name in names:
        held = KINDS[kind].objects.filter(user=user, role=role, table_name=name).first()
        if held is None:
            grant(kind, by=by, table_name=name, values=values, user=user, role=role)
        else:
            change(kind, held.pk, by=by, values=values)
    target: Model = user or role
    audit.record(
        "permission_granted", user=by, obj=target, details={"kind": kind, "tables": names, "values": _told(values)}
    )
    return names


def effective(user: Any, table_name: str) -> Effective:
    """What counts for the person on a table, and which row says so (U55)."""
    return Effective(
        _source(user, tables.import_row(user, table_name)),
        tables.import_allowance(user, table_name),
        tables.export_allowance(user, table_name),
        _source(user, tables.export_row(user, table_name)),
    )


def effective_everywhere(user: Any, names: Iterable[str]) -> dict[str, Effective]:
    """`effective` for many tables at once; three queries, two for superusers."""
    if user.is_superuser:
        same = Effective(
            "super admin", tables.import_allowance(user, ""), tables.export_allowance(user, ""), "super admin"
        )
        return dict.fromkeys(names, same)
    held = tables.allowances(user)
    nothing = (tables.ImportAllowance(), None, tables.ExportAllowance(), None)
    found = {}
    for name in names:
        imports, import_row, exports, export_row = held.get(name, nothing)
        found[name] = Effective(_source(user, import_row), imports, exports, _source(user, export_row))
    return found


def preset(name: str, kind: str) -> dict[str, Any]:
    """The values of a preset that the kind has (F-128)."""
    return {field: value for field, value in PRESETS[name].items() if field in EDITABLE[kind]}


def _source(user: Any, row: ImportPermission | ExportPermission | None) -> str:
    if user.is_superuser:
        return "super admin"
    if row is None:
        return "no row"
    return "own row" if row.user_id else f"role {row.role}"


def _check_not_own(row: ImportPermission | ExportPermission, by: Any) -> None:
    applies = row.user_id == by.pk if row.user_id else row.role_id == by.role_id
    if applies and not by.is_superuser:
        raise OwnRights


def _assign(kind: str, row: ImportPermission | ExportPermission, values: Mapping[str, Any]) -> None:
    """Put the values in. Raises Refused naming every fault."""
    errors: dict[str, str] = {}
    try:
        table = database.find(row.table_name)
    except database.UnknownTable:
        raise Refused({"table_name": say("There is no table “{table_name}”.", table_name=row.table_name)}) from None
    if row._state.adding:
        row.table_name = table.name  # a table has one name to ask rights by: `public.users` is `users`
    for name, value in values.items():
        if name not in EDITABLE[kind]:
            errors[name] = say("“{name}” is not a member of a permission to {kind}.", name=name, kind=kind)
        elif fault := _fault(name, value, table):
            errors[name] = fault
        else:
            setattr(row, name, value)
    if errors:
        raise Refused(errors)


def _fault(name: str, value: Any, table: database.Table) -> str:
    """What is wrong with one value; "" when nothing."""
    if name == "allowed_formats":
        wrong = [each for each in value if any(real not in FORMATS for real in tables.expanded([each]))]
        return (
            say(
                "There is no format “{wrong}”. Known: {formats}, excel.",
                wrong=wrong[0],
                formats=", ".join(sorted(FORMATS)),
            )
            if wrong
            else ""
        )
    if name == "allowed_columns":
        known = {column.name for column in table.open_columns}
        wrong = [each for each in value if each not in known]
        return (
            say("“{wrong}” is no column of {table} that may be used.", wrong=wrong[0], table=table.name)
            if wrong
            else ""
        )
    if name == "row_filter":
        return next((fault for check in check_row_filter if (fault := check(value, table))), "")
    if isinstance(value, int) and not isinstance(value, bool) and not 0 <= value <= LARGEST:
        return say("Use a whole number from 0 to {largest:,}.", largest=LARGEST)
    return ""


def _told(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values for the log: a filter as its text, because it may name a column of any name."""
    return {name: json.dumps(value) if name == "row_filter" else value for name, value in values.items()}


def record(operation: str, kind: str, row: ImportPermission | ExportPermission, by: Any, **details: Any) -> None:
    """Put on record what was done with a row."""
    whom = {"user_id": str(row.user_id)} if row.user_id else {"role": str(row.role)}
    audit.record(operation, user=by, table_name=row.table_name, obj=row, details={"kind": kind, **whom, **details})
