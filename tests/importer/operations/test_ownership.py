"""Profiles have an owner, who can hand them over; those of people who are gone are the Admins' (G12, G9)."""

from __future__ import annotations

from typing import Any

import pytest

from importer.models import ImportProfile
from permissions import policy
from permissions.models import AuditEntry
from tests.api.conftest import program
from tests.conftest import person

__all__ = ["program"]
pytestmark = pytest.mark.django_db


@pytest.mark.req("G12")
def test_the_owner_hands_a_profile_over(profile: Any, alice: Any, bob: Any, program: Any) -> None:
    body = {"visibility": "restricted", "grants": [], "owner_id": str(bob.pk)}
    answer = program(alice).put(f"/profiles/{profile.pk}/access", body)
    assert (answer.status_code, answer.json()["owner"]["name"]) == (200, "Bob Ruiz")
    profile.refresh_from_db()
    assert profile.created_by == bob
    assert not policy.can(alice, "view", profile)
    entry = AuditEntry.objects.filter(operation="profile_updated").latest("timestamp")
    assert (entry.details["old"], entry.details["new"]) == (str(alice.pk), str(bob.pk))


@pytest.mark.req("G12")
def test_nobody_else_gives_it_away(profile: Any, bob: Any, program: Any) -> None:
    ImportProfile.objects.update(visibility="all")
    bob.grants.create(permission="import.profiles.manage")
    body = {"visibility": "all", "grants": [], "owner_id": str(bob.pk)}
    assert program(bob).put(f"/profiles/{profile.pk}/access", body).status_code == 403


@pytest.mark.req("G12")
def test_the_profiles_of_somebody_who_is_gone_are_the_admins(profile: Any, bob: Any) -> None:
    adam = person("adam", role="Admin")
    assert not policy.can(adam, "view", profile)
    ImportProfile.objects.update(created_by=None)
    profile.refresh_from_db()
    assert policy.can(adam, "view", profile)
    assert policy.can(adam, "change", profile)
    assert not policy.can(bob, "change", profile)
