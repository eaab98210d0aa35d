"""What templates of this site need beside Django's own tags."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django import template
from django.conf import settings
from django.templatetags.static import static
from django.utils.html import format_html

from importer.operations import amounts
from permissions import approvals, policy, tables
from servicevault.models.tickets import Status
from servicevault.notifications import telling
from servicevault.web.tickets import STATUS_LOOKS
from servicevault.wording import say

register = template.Library()

ICONS = "vendor/tabler-icons-3.51.0/icons.svg"
NEW = ("data_import", "data_export")  # F-152
# What a page permission alone does not open: somebody must have a right on a table too (F-133).
GATES: dict[str, Callable[[Any], bool]] = {
    "data_import": lambda user: tables.importable_tables(user) != set(),
    "data_export": lambda user: tables.exportable_tables(user) != set(),
}
# address name, words, icon, page permission (agents and super admins where none is named)
ENTRIES = (
    ("home", say("Home"), "home", None),
    ("ticket_list", say("Tickets"), "ticket", ""),
    ("import", say("Import"), "database-import", "pages.import.manage"),
    ("data_import", say("Data import"), "file-import", "pages.settings.data_import"),
    ("data_export", say("Data export"), "download", "pages.settings.data_export"),
    ("approval_list", say("Approvals"), "user-check", "pages.approvals"),
    ("audit", say("Audit"), "history", "pages.audit"),
    ("admin:index", say("Administration"), "settings", "superuser"),
)


@register.simple_tag
def icon(name: str, css: str = "") -> str:
    """An icon beside a word; it says nothing by itself, so screen readers skip it."""
    return format_html(
        '<svg class="icon {}" width="24" height="24" aria-hidden="true" focusable="false"><use href="{}#{}"/></svg>',
        css,
        static(ICONS),
        name,
    )


@register.simple_tag(takes_context=True)
def navigation(context: dict[str, Any], user: Any, url_name: str | None) -> list[dict[str, Any]]:
    """The entries the person may open (G3), with the open one marked."""
    counts = {"approval_list": approvals.waiting_for}
    section = _section(url_name, of_file=getattr(context.get("job"), "source_kind", "") == "file")
    return [
        {
            "url": url,
            "words": words,
            "icon": picture,
            "is_open": section == url,
            "count": counts[url](user) if url in counts else 0,
            "is_new": settings.UI_NEW_BADGES and url in NEW,
        }
        for url, words, picture, permission in ENTRIES
        if _may_open(user, permission) and (url not in GATES or GATES[url](user))
    ]


@register.simple_tag
def unread(user: Any) -> int:
    """How many notifications the person has not read."""
    return telling.unread(user)


@register.simple_tag(takes_context=True)
def page_link(context: dict[str, Any], number: int, parameter: str = "") -> str:
    """This address with another page in it."""
    query = context["request"].GET.copy()
    query[parameter or "page"] = str(number)
    return f"?{query.urlencode()}"


@register.filter
def may(user: Any, permission: str) -> bool:
    """Whether the person holds the permission: `{% if user|may:"audit.view" %}`."""
    return policy.has(user, permission)


@register.filter
def duration(value: timedelta | None) -> str:
    return amounts.spoken(value)


@register.filter
def clock(value: timedelta | None) -> str:
    return amounts.clock(value)


@register.filter
def status_icon(status: str) -> str:
    return STATUS_LOOKS[Status(status)][0]


@register.filter
def status_colour(status: str) -> str:
    return STATUS_LOOKS[Status(status)][1]


def _may_open(user: Any, permission: str | None) -> bool:
    if permission is None or user.is_superuser:
        return True
    if permission == "superuser":
        return False
    return policy.has(user, permission) if permission else user.is_agent


def _section(url_name: str | None, *, of_file: bool) -> str:
    name = url_name or ""
    if name.startswith(("ticket", "comment")):
        return "ticket_list"
    if name.startswith(("data_export", "export")):
        return "data_export"
    if name.startswith("data_import") or (of_file and name.startswith("job")):  # its plan, its records, its rollback
        return "data_import"
    if name == "approval":
        return "approval_list"
    return "import" if name.startswith(("import", "job", "profile", "builder")) else name
