"""`/audit`: what was done, by filter; everybody's for auditors, own for others (G28)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.apps import apps
from django.db.models import Q
from django.http import HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from permissions import audit, audit_log, policy
from permissions.models import AuditEntry
from permissions.web.audit_words import WORDS
from servicevault.web.listing import page_of, plain_text
from servicevault.web.pages import PageRequest, members_only, render_page
from servicevault.wording import say

PAGE = "pages.audit"
ROWS = 50
RESULTS = {  # word, icon, colour
    "ok": {"word": say("Done"), "icon": "check", "colour": "green"},
    "denied": {"word": say("Refused"), "icon": "ban", "colour": "amber"},
    "failed": {"word": say("Failed"), "icon": "circle-x", "colour": "red"},
}


@members_only
@require_safe
def log(request: PageRequest) -> HttpResponse:
    """The entries, newest first, fifty a page; the filters are in the address."""
    policy.require(request.user, PAGE)
    chosen = _chosen(request)
    page = page_of(request, _filtered(request, chosen), size=ROWS)
    context = {
        "page": page,
        "rows": [_row(entry) for entry in page.object_list],
        "chosen": chosen,
        "is_filtered": any(chosen.values()),
        "sees_all": policy.has(request.user, audit_log.PERMISSION),
        "operations": [(name, WORDS[name]) for name in sorted(audit.OPERATIONS)],
        "results": [(name, look["word"]) for name, look in RESULTS.items()],
        "csv_url": f"{reverse('api_audit_export')}?{urlencode(_for_export(request, chosen))}",
    }
    return render_page(request, "permissions/audit.html", "permissions/_audit_rows.html", context)


def _row(entry: AuditEntry) -> dict[str, Any]:
    told = audit_log.shown(entry)
    return {
        "entry": entry,
        "person": told["user"] or (say("{user_id}… (deleted)", user_id=told["user_id"][:8]) if told["user_id"] else ""),
        "words": WORDS.get(entry.operation, entry.operation),
        "result": RESULTS[entry.result],
        "about": entry.table_name or _kind(entry.object_type),
        "details": [(name.replace("_", " "), value) for name, value in sorted(entry.details.items())],
    }


def _kind(label: str) -> str:
    """What an entry is about: "import job". The label itself when there is no such model any more."""
    try:
        return str(apps.get_model(label)._meta.verbose_name) if label else ""
    except LookupError:
        return label


def _chosen(request: PageRequest) -> dict[str, str]:
    """The filters of the address that can be right; others are left out."""
    given = request.GET
    operation, result = given.get("operation", ""), given.get("result", "")
    return {
        "own": "1" if given.get("own") else "",
        "operation": operation if operation in audit.OPERATIONS else "",
        "result": result if result in RESULTS else "",
        "person": plain_text(given.get("person"), limit=100),
        "table_name": plain_text(given.get("table_name"), limit=127),
        "job_id": _checked(given.get("job_id", ""), UUID),
        "from": _checked(given.get("from", ""), date.fromisoformat),
        "to": _checked(given.get("to", ""), date.fromisoformat),
    }


def _checked(text: str, read: Callable[[str], Any]) -> str:
    try:
        read(text)
    except ValueError:
        return ""
    return text


def _filtered(request: PageRequest, chosen: dict[str, str]) -> Any:
    found = audit_log.entries(request.user, _exact(chosen))
    if chosen["own"]:
        found = found.filter(user=request.user.pk)
    if chosen["person"]:
        found = found.filter(Q(user__name__icontains=chosen["person"]) | Q(user__email__icontains=chosen["person"]))
    return found


def _exact(chosen: dict[str, str]) -> dict[str, Any]:
    exact: dict[str, Any] = {
        name: chosen[name] for name in ("operation", "result", "table_name", "job_id") if chosen[name]
    }
    if chosen["from"]:
        exact["from"] = _midnight(chosen["from"])
    if chosen["to"]:
        exact["to"] = _midnight(chosen["to"]) + timedelta(days=1)
    return exact


def _midnight(text: str) -> datetime:
    return datetime.combine(date.fromisoformat(text), time(), tzinfo=timezone.get_current_timezone())


def _for_export(request: PageRequest, chosen: dict[str, str]) -> dict[str, str]:
    exact = {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in _exact(chosen).items()
    }
    return exact | ({"user_id": str(request.user.pk)} if chosen["own"] else {})
