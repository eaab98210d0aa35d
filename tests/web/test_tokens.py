"""`/settings/tokens`: made once, shown once, revoked for good."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse

from permissions.tokens import ApiToken


@pytest.fixture
def browser(logged_in: Callable[[Any], Any], alice: Any) -> Any:
    return logged_in(alice)


@pytest.mark.req("U55", "C2")
def test_it_shows_a_token_once_and_the_api_takes_it_until_it_is_revoked(browser: Any, client: Any) -> None:
    answer = browser.post(reverse("tokens"), {"name": "Nightly", "days": "30"})
    text = re.search(r"sv_[\w-]{30,}", answer.content.decode())[0]  # type: ignore[index]
    assert answer["Cache-Control"] == "no-store"
    assert text not in browser.get(reverse("tokens")).content.decode()
    headers = {"authorization": f"Bearer {text}"}
    assert client.get("/api/import/profiles", headers=headers).status_code == 200
    browser.post(reverse("token_revoke", args=[ApiToken.objects.get().pk]))
    assert client.get("/api/import/profiles", headers=headers).status_code == 401
    assert "revoked" in browser.get(reverse("tokens")).content.decode()


def test_it_keeps_other_peoples_tokens_to_themselves(browser: Any, bob: Any) -> None:
    token, _ = ApiToken.objects.make(bob, "Bob's own")
    assert "Bob's own" not in browser.get(reverse("tokens")).content.decode()
    assert browser.post(reverse("token_revoke", args=[token.pk])).status_code == 404


def test_it_wants_a_name(browser: Any) -> None:
    assert browser.post(reverse("tokens"), {"name": " "}).status_code == 422
    assert not ApiToken.objects.exists()
