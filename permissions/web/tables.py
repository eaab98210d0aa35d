"""`/settings/permissions`: rights on tables, from the person or role and from the table (U55, F-126 to F-128)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.auth import get_user_model
from django.db.models import Q
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from permissions import granting, policy
from permissions.models import ExportPermission, ImportPermission, Role
from permissions.web.forms import FORMS
from servicevault import tables as database
from servicevault.web.listing import id_in, plain_text
from servicevault.web.pages import PageRequest, members_only
from servicevault.wording import say

PEOPLE = 25
PRESETS = {"admin": say("Admin"), "manager": say("Manager"), "user": say("User"), "viewer": say("Viewer")}


@members_only
@require_safe
def overview(request: PageRequest) -> HttpResponse:
    """Whom or which table to look at; then the rights of that person, role or table."""
    policy.require(request.user, granting.PERMISSION)
    user, role = _person(request.GET.get("user")), _role(request.GET.get("role"))
    text, table = plain_text(request.GET.get("q"), limit=100), request.GET.get("table", "")
    tables = database.listed()
    context: dict[str, Any] = {
        "roles": Role.objects.all(),
        "tables": tables,
        "text": text,
        "people": _people(text) if text else [],
        "person": user,
        "role": role,
        "table": table if any(each.name == table for each in tables) else "",
    }
    if user or role:
        context |= {"rows": _rows_of(user, role, tables), "target": urlencode(_target(user, role))}
        context["is_own"] = _is_own(request.user, user, role)
    elif context["table"]:
        context["holders"] = _holders(table)
    return render(request, "permissions/tables.html", context)


@members_only
@require_http_methods(["GET", "HEAD", "POST"])
def grant(request: PageRequest, kind: str) -> HttpResponse:
    """Rights of one person or role: on the table in the address, or on several at once."""
    policy.require(request.user, granting.PERMISSION)
    if kind not in granting.KINDS:
        raise Http404
    user, role = _person(request.GET.get("user")), _role(request.GET.get("role"))
    if (user is None) == (role is None):
        return redirect("table_permissions")
    table = request.GET.get("table", "")
    row = granting.KINDS[kind].objects.filter(user=user, role=role, table_name=table).first() if table else None
    if table and not database.exists(table):
        raise Http404
    preset = request.GET.get("preset", "")
    form = FORMS[kind](
        request.POST or None,
        initial=_initial(kind, row, preset),
        tables=[] if table else [each.name for each in database.listed()],
        columns=[column.name for column in database.find(table).open_columns] if table else [],
    )
    if request.method == "POST" and form.is_valid():
        names = [table] if table else form.cleaned_data["tables"]
        try:
            _save(request, kind, row, names, values=form.values(), user=user, role=role)
        except granting.OwnRights as error:
            form.add_error(None, str(error))
        except granting.Refused as error:
            for name, texts in error.errors.items():
                form.add_error(name if name in form.fields else None, texts[0])
        else:
            messages.success(
                request,
                say("{user} may {kind} as you said: {names}.", user=user or role, kind=kind, names=", ".join(names)),
            )
            return redirect(f"{reverse('table_permissions')}?{urlencode(_target(user, role))}")
    context = {
        "form": form,
        "kind": kind,
        "whom": user or (role.label if role else ""),
        "table": table,
        "row": row,
        "presets": [(name, PRESETS[name]) for name in granting.PRESETS],
        "target": urlencode(_target(user, role) | ({"table": table} if table else {})),
        "back": urlencode(_target(user, role)),
        "is_own": _is_own(request.user, user, role),
    }
    return render(request, "permissions/grant.html", context, status=422 if form.is_bound else 200)


@members_only
@require_POST
def revoke(request: PageRequest, kind: str, pk: UUID) -> HttpResponse:
    """Take one row away."""
    policy.require(request.user, granting.PERMISSION)
    row = granting.KINDS[kind].objects.filter(pk=pk).first() if kind in granting.KINDS else None
    if row is None:
        raise Http404
    target = _target(row.user, row.role)
    try:
        granting.revoke(kind, pk, by=request.user)
    except granting.OwnRights as error:
        messages.error(request, str(error))
    else:
        messages.success(
            request,
            say(
                "{user} may no longer {kind} {table_name}.",
                user=row.user or row.role,
                kind=kind,
                table_name=row.table_name,
            ),
        )
    return redirect(f"{reverse('table_permissions')}?{urlencode(target)}")


def _save(
    request: PageRequest, kind: str, row: Any, names: list[str], *, values: dict[str, Any], user: Any, role: Any
) -> None:
    if row is not None:
        granting.change(kind, row.pk, by=request.user, values=values)
    elif len(names) == 1:
        granting.grant(kind, by=request.user, table_name=names[0], values=values, user=user, role=role)
    else:
        granting.grant_many(kind, by=request.user, table_names=names, values=values, user=user, role=role)


def _initial(kind: str, row: ImportPermission | ExportPermission | None, preset: str) -> dict[str, Any]:
    source = row or granting.KINDS[kind]()
    values = {name: getattr(source, name) for name in granting.EDITABLE[kind]}
    return values | (granting.preset(preset, kind) if preset in granting.PRESETS else {})


def _rows_of(user: Any, role: Any, tables: list[database.Listed]) -> list[dict[str, Any]]:
    """Each table with both rows and, for a person, what counts and whence."""
    held = {
        kind: {row.table_name: row for row in model.objects.filter(user=user, role=role)}
        for kind, model in granting.KINDS.items()
    }
    names = sorted({table.name for table in tables} | set(held["import"]) | set(held["export"]))
    counting = granting.effective_everywhere(user, names) if user else {}
    return [
        {
            "table": name,
            "import": held["import"].get(name),
            "export": held["export"].get(name),
            "effective": counting.get(name),
        }
        for name in names
    ]


def _holders(table: str) -> list[tuple[str, Any]]:
    """Every row for the table, with its kind; people first."""
    rows = [
        (kind, row)
        for kind, model in granting.KINDS.items()
        for row in model.objects.filter(table_name=table).select_related("user", "role")
    ]
    return sorted(rows, key=lambda pair: (pair[1].user_id is None, str(pair[1].user or pair[1].role), pair[0]))


def _people(text: str) -> Any:
    found = Q(name__icontains=text) | Q(email__icontains=text)
    return get_user_model().objects.filter(found, is_active=True).select_related("role").order_by("name")[:PEOPLE]


def _person(text: str | None) -> Any:
    found = id_in(text)
    return get_user_model().objects.select_related("role").filter(pk=found).first() if found else None


def _role(text: str | None) -> Role | None:
    found = id_in(text)
    return Role.objects.filter(pk=found).first() if found else None


def _target(user: Any, role: Any) -> dict[str, str]:
    return {"user": str(user.pk)} if user else {"role": str(role.pk)}


def _is_own(by: Any, user: Any, role: Any) -> bool:
    own = user.pk == by.pk if user else role.pk == by.role_id
    return own and not by.is_superuser
