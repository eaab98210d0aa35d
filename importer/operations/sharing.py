"""Who may see and use a restricted profile (G9)."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import transaction

from importer.models import ImportProfile, Visibility
from importer.operations.failures import InvalidFields
from permissions import audit, policy
from servicevault.wording import say

RIGHTS = ("view", "change", "execute", "delete")


def access_of(profile: ImportProfile) -> dict[str, Any]:
    """Visibility, and the rights of each person who was given some, by name."""
    held = policy.holders(profile, {right: f"{right}_importprofile" for right in RIGHTS})
    people = sorted(held.items(), key=lambda item: str(item[0]))
    owner = profile.created_by
    return {
        "visibility": profile.visibility,
        "owner": {"user_id": str(owner.pk), "name": str(owner)} if owner else None,
        "grants": [
            {"user_id": str(person.pk), "name": str(person), "rights": [right for right in RIGHTS if right in rights]}
            for person, rights in people
        ],
    }


@transaction.atomic
def hand_over(profile: ImportProfile, owner_id: UUID, *, by: Any) -> None:
    """Give the profile another owner (G12). Raises Denied for others than the owner and super admins, InvalidFields."""
    if not by.is_superuser and profile.created_by_id != by.pk:
        raise policy.Denied("owner")
    owner = get_user_model().objects.filter(pk=owner_id, is_active=True).first()
    if owner is None:
        raise InvalidFields({"owner_id": [say("There is no active person {owner_id}.", owner_id=owner_id)]})
    before, profile.created_by, profile.changed_by = profile.created_by_id, owner, by
    profile.version += 1
    profile.save(update_fields=["created_by", "changed_by", "version", "updated_at"])
    details = {"fields": ["owner"], "old": str(before) if before else None, "new": str(owner.pk)}
    audit.record("profile_updated", user=by, profile_id=profile.pk, obj=profile, details=details)


@transaction.atomic
def set_access(
    profile: ImportProfile, visibility: str, grants: Mapping[UUID, Set[str]], *, by: Any = None
) -> dict[str, Any]:
    """Set visibility and all grants: who is not named loses theirs. To do anything one must see, so `view` comes along.

    Raises InvalidFields for an unknown visibility or person.
    """
    if visibility not in Visibility.values:
        raise InvalidFields({"visibility": [say("Use all or restricted.")]})
    people = {person.pk: person for person in get_user_model().objects.filter(pk__in=grants, is_active=True)}
    unknown = [str(pk) for pk in grants if pk not in people]
    if unknown:
        raise InvalidFields({"grants": [say("There is no active person {unknown}.", unknown=unknown[0])]})
    profile.visibility, profile.changed_by = visibility, by
    profile.version += 1
    profile.save(update_fields=["visibility", "changed_by", "version", "updated_at"])
    wanted = {
        people[pk]: {f"{right}_importprofile" for right in ({"view", *rights} if rights else ())}
        for pk, rights in grants.items()
    }
    policy.set_holders(profile, [f"{right}_importprofile" for right in RIGHTS], wanted)
    given = {str(pk): sorted(rights) for pk, rights in grants.items()}
    audit.record(
        "permission_changed",
        user=by,
        profile_id=profile.pk,
        obj=profile,
        details={"visibility": visibility, "grants": given},
    )
    return access_of(profile)
