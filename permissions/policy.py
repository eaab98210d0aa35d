"""Who may do what: the one place that decides, and the only user of guardian.

Three verbs: `restrict` for lists, `fetch` for one object, `can` for templates and operations.
`require` refuses a request that lacks a functional or page permission. No row means no (DEC-08).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol, TypeVar

from django.core.exceptions import PermissionDenied
from django.db.models import Model, Q, QuerySet
from django.http import Http404
from guardian.shortcuts import assign_perm, get_objects_for_user, get_users_with_perms, remove_perm

from servicevault.wording import say

M = TypeVar("M", bound=Model)


class Denied(PermissionDenied):
    """The object is visible but the action is not allowed; names the permission that is missing (C11)."""

    def __init__(self, permission: str) -> None:
        super().__init__(say("You need the permission “{permission}”.", permission=permission))
        self.permission = permission


class Rule(Protocol):
    """How one model's objects are seen and used."""

    def visible(self, user: Any) -> Q:
        """Condition of the rows `user` may see."""

    def allowed(self, user: Any, action: str, obj: Any) -> str:
        """The missing permission's name, or an empty string when the action is allowed."""


_rules: dict[type[Model], Rule] = {}


def register(model: type[Model], rule: Rule) -> None:
    _rules[model] = rule


def permissions_of(user: Any) -> frozenset[str]:
    """Every permission the person holds by role and grant; at most two queries, then kept on the user object."""
    if not getattr(user, "is_authenticated", False) or not user.is_active:
        return frozenset()
    held: frozenset[str] | None = getattr(user, "_held_permissions", None)
    if held is None:
        role = user.role.permissions if user.role_id else ()
        held = frozenset(role) | frozenset(user.grants.values_list("permission", flat=True))
        user._held_permissions = held
    return held


def has(user: Any, *permissions: str) -> bool:
    """Whether the person holds any of the named permissions; superusers hold all."""
    if not getattr(user, "is_authenticated", False) or not user.is_active:
        return False
    return user.is_superuser or not permissions_of(user).isdisjoint(permissions)


def require(user: Any, *permissions: str) -> None:
    """Raise Denied unless the person holds one of the named permissions."""
    if not has(user, *permissions):
        raise Denied(permissions[0])


def restrict(queryset: QuerySet[M], user: Any, action: str = "view") -> QuerySet[M]:
    """The rows of `queryset` the person may see. A model without a rule shows nothing to anyone but superusers."""
    if not getattr(user, "is_authenticated", False) or not user.is_active:
        return queryset.none()
    if user.is_superuser:
        return queryset
    rule = _rules.get(queryset.model)
    if rule is None:
        return queryset.none()
    return queryset.filter(rule.visible(user))


def fetch(queryset: QuerySet[M], user: Any, action: str, pk: Any) -> M:
    """The object, 404 when it is not visible, Denied (403) when it is visible but `action` is not allowed."""
    obj = restrict(queryset, user).filter(pk=pk).first()
    if obj is None:
        raise Http404
    missing = _missing(user, action, obj)
    if missing:
        raise Denied(missing)
    return obj


def can(user: Any, action: str, obj: Model) -> bool:
    """Whether the person may do `action` with the object; for templates and for checks before work."""
    if not getattr(user, "is_authenticated", False) or not user.is_active:
        return False
    visible = restrict(type(obj)._default_manager.all(), user).filter(pk=obj.pk).exists()
    return visible and not _missing(user, action, obj)


def allows(user: Any, action: str, shown: Model) -> bool:
    """`can` for an object that came out of `restrict`: it is visible, so only the action is asked."""
    return has_logged_in(user) and not _missing(user, action, shown)


def has_logged_in(user: Any) -> bool:
    return bool(getattr(user, "is_authenticated", False) and user.is_active)


def granted(user: Any, permission: str, model: type[M]) -> QuerySet[M]:
    """Objects the person was given `permission` on, one by one or through a group."""
    return get_objects_for_user(user, permission, klass=model, with_superuser=False, accept_global_perms=False)


def holders(obj: Model, rights: Mapping[str, str]) -> dict[Any, set[str]]:
    """People with rights of their own on the object: person → names, where `rights` maps a name to its permission."""
    names = {permission: name for name, permission in rights.items()}
    held: Any = get_users_with_perms(obj, attach_perms=True, with_group_users=False)
    found = {person: {names[item] for item in items if item in names} for person, items in held.items()}
    return {person: items for person, items in found.items() if items}


def set_holders(obj: Model, permissions: Collection[str], wanted: Mapping[Any, Collection[str]]) -> None:
    """Give each person exactly the wanted ones of these permissions on the object; people not named lose theirs."""
    for person, items in holders(obj, {name: name for name in permissions}).items():
        for name in items - set(wanted.get(person, ())):
            remove_perm(name, person, obj)
    for person, names in wanted.items():
        for name in names:
            assign_perm(name, person, obj)


def _missing(user: Any, action: str, obj: Model) -> str:
    if user.is_superuser:
        return ""
    rule = _rules.get(type(obj))
    return action if rule is None else rule.allowed(user, action, obj)
