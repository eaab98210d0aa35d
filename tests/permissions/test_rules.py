"""Who sees the help desk's own records, asked of the policy itself."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import Http404

from permissions import policy
from servicevault.models import Ticket, User, UserType


def test_it_shows_tickets_to_agents(ticket: Any, charlie: Any) -> None:
    assert list(policy.restrict(Ticket.objects.all(), charlie)) == [ticket]


def test_it_shows_tickets_to_no_customer(ticket: Any) -> None:
    customer = User.objects.create(name="Cleo", user_type=UserType.ACCOUNT_USER)
    assert not policy.restrict(Ticket.objects.all(), customer).exists()
    with pytest.raises(Http404):
        policy.fetch(Ticket.objects.all(), customer, "view", ticket.pk)


def test_it_shows_nothing_to_agents_who_are_switched_off(ticket: Any, charlie: Any) -> None:
    charlie.is_active = False
    assert not policy.restrict(Ticket.objects.all(), charlie).exists()


def test_it_names_the_right_an_agent_lacks_to_change_a_ticket(ticket: Any, charlie: Any) -> None:
    with pytest.raises(policy.Denied) as denied:
        policy.fetch(Ticket.objects.all(), charlie, "change", ticket.pk)
    assert denied.value.permission == "change_ticket"
