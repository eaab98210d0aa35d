"""The audit log: `record` writes one entry in the act's own transaction, so that neither exists without the other.

An act whose entry cannot be written fails (G27). Entries never hold row values, secrets or SQL (F-139).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Literal
from uuid import UUID

from django.db import DatabaseError
from django.db.models import Model

from permissions.models import AuditEntry
from servicevault.wording import say

Result = Literal["ok", "denied", "failed"]

OPERATIONS = frozenset(
    """
    login login_failed logout token_created token_revoked
    profile_created profile_updated profile_deleted profile_duplicated
    credentials_changed credentials_copied connection_tested schema_read preview_shown pii_revealed
    query_saved query_deleted
    template_applied template_created template_updated template_deleted pack_installed
    sync_config_changed sync_started sync_skipped
    file_uploaded file_parsed validation_started validation_completed rehearsal_started
    import_requested import_approved import_rejected import_started import_completed import_failed
    import_cancelled import_resumed import_job_deleted
    records_approved records_retried records_deleted
    rollback_started rollback_completed rollback_undone
    export_requested export_approved export_rejected
    export_created export_completed export_failed export_downloaded export_deleted export_link_created
    permission_granted permission_changed permission_revoked role_changed settings_changed
    access_denied rate_limited data_purged person_erased
    """.split()
)
TEXT_CHARACTERS = 500
# What must never be in an entry is not written under an innocent name either; this catches the honest mistake.
_SECRET = re.compile(r"password|secret|token|api_?key|private_?key|credential|^sql$|row_values?$", re.I)


class AuditUnavailable(Exception):
    """The entry could not be written, so the act did not happen either."""


@dataclass(frozen=True)
class Origin:
    """Where a request came from."""

    address: str = ""
    user_agent: str = ""
    request_id: str = ""


NOWHERE = Origin()  # a command or a worker
_origin: ContextVar[Origin] = ContextVar("audit_origin", default=NOWHERE)
_actor: ContextVar[Any] = ContextVar("audit_actor", default=None)


@contextmanager
def coming_from(origin: Origin) -> Iterator[None]:
    """Entries written inside name this origin."""
    before, actor = _origin.set(origin), _actor.set(None)
    try:
        yield
    finally:
        _origin.reset(before)
        _actor.reset(actor)


def act_as(user: Any) -> None:
    """From now on, until the request ends, this person does what is done. Entries name them unless told otherwise."""
    _actor.set(user)


def record(
    operation: str,
    *,
    user: Any = None,
    table_name: str = "",
    job_id: UUID | str | None = None,
    profile_id: UUID | str | None = None,
    obj: Model | None = None,
    result: Result = "ok",
    details: Mapping[str, Any] | None = None,
) -> AuditEntry:
    """Write one entry in the current transaction; one INSERT.

    Raises AuditUnavailable when it cannot be written: let it pass, so that the act is undone and answered 503.
    Raises ValueError for an unknown operation and for details that look like a secret: both are our mistakes.
    """
    if operation not in OPERATIONS:
        raise ValueError(say("{operation!r} is not an operation of the audit log.", operation=operation))
    origin = _origin.get()
    user = user or _actor.get()
    known = user is not None and getattr(user, "is_authenticated", False)
    try:
        return AuditEntry.objects.create(
            user_id=user.pk if known else None,
            operation=operation,
            table_name=table_name,
            job_id=job_id,
            profile_id=profile_id,
            object_type=obj._meta.label_lower if obj is not None else "",
            object_id=str(obj.pk) if obj is not None else "",
            result=result,
            details=_checked(details or {}),
            ip_address=_address(origin.address),
            user_agent=_plain(origin.user_agent)[:255],
            request_id=origin.request_id[:64],
        )
    except DatabaseError as error:
        raise AuditUnavailable(
            say("The audit entry “{operation}” could not be written.", operation=operation)
        ) from error


def record_denied(permission: str, path: str, method: str, *, user: Any) -> None:
    """Somebody asked for what they may not do. The path has ids, never values."""
    details = {"permission": permission, "path": path, "method": method}
    record("access_denied", user=user, result="denied", details=details)


def _checked(details: Mapping[str, Any]) -> dict[str, Any]:
    for name in details:
        if _SECRET.search(name):
            raise ValueError(say("{name!r} does not belong into the audit log.", name=name))
    return {name: _shown(value) for name, value in details.items()}


def _shown(value: Any) -> Any:
    match value:
        case None | bool() | int() | float():
            return value
        case Mapping():
            return _checked(value)
        case list() | tuple() | set() | frozenset():
            return [_shown(item) for item in (sorted(value) if isinstance(value, set | frozenset) else value)]
        case _:
            return _plain(str(value))[:TEXT_CHARACTERS]


def _plain(text: str) -> str:
    """Text PostgreSQL takes: no NUL, no half of a surrogate pair."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def _address(text: str) -> str | None:
    """What a proxy says may be anything; only an address is kept."""
    try:
        return str(ip_address(text))
    except ValueError:
        return None
