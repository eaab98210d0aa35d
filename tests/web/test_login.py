"""Logging in and out."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from servicevault.models import User, UserType
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db


def log_in(client: Any, name: str, password: str = PASSWORD) -> Any:
    return client.post("/login", {"username": name, "password": password})


@pytest.mark.parametrize("name", ["alice", "alice@desk.example", " Alice@Desk.Example "])
def test_it_takes_the_username_or_the_address(client: Any, alice: Any, name: str) -> None:
    assert log_in(client, name)["Location"] == "/"
    assert client.session["_auth_user_id"] == str(alice.pk)


@pytest.mark.req("E5")
def test_it_prefers_the_agent_of_an_address(client: Any, alice: Any) -> None:
    customer = User.objects.create(name="Alice at home", email=alice.email, user_type=UserType.ACCOUNT_USER)
    customer.set_password(PASSWORD)
    customer.save()
    log_in(client, alice.email)
    assert client.session["_auth_user_id"] == str(alice.pk)


@pytest.mark.req("E5")
def test_it_falls_back_to_the_customer_whose_password_it_is(client: Any, alice: Any) -> None:
    customer = User.objects.create(name="Alice at home", email=alice.email, user_type=UserType.ACCOUNT_USER)
    customer.set_password("another battery staple")
    customer.save()
    log_in(client, alice.email, "another battery staple")
    assert client.session["_auth_user_id"] == str(customer.pk)


@pytest.mark.req("E5", "E38")
@pytest.mark.parametrize("password", ["!", "", PASSWORD])
def test_it_lets_nobody_in_without_a_usable_password(client: Any, password: str) -> None:
    User.objects.create(name="Imported", email="imported@desk.example", user_type=UserType.AGENT)
    assert log_in(client, "imported@desk.example", password).status_code == 422
    assert "_auth_user_id" not in client.session


def test_it_lets_nobody_in_who_is_switched_off(client: Any, alice: Any) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert log_in(client, "alice").status_code == 422


def test_it_ties_the_error_to_the_fields(client: Any, alice: Any) -> None:
    text = log_in(client, "alice", "wrong").content.decode()
    assert 'id="login-error"' in text
    assert text.count('aria-describedby="login-error"') == 2
    assert "wrong" not in text


def test_it_leads_nowhere_else(client: Any, alice: Any) -> None:
    answer = client.post("/login", {"username": "alice", "password": PASSWORD, "next": "https://evil.example/"})
    assert answer["Location"] == "/"


def test_it_logs_out_by_post(logged_in: Callable[[Any], Any], alice: Any) -> None:
    browser = logged_in(alice)
    assert browser.get("/logout").status_code == 405
    assert browser.post("/logout")["Location"] == "/login"
    assert browser.get("/").status_code == 302


def test_it_sends_the_whole_page_to_the_login_when_a_fragment_meets_the_end_of_a_session(client: Any) -> None:
    answer = client.get("/tickets", headers={"hx-request": "true", "hx-current-url": "http://testserver/tickets?q=ink"})
    assert answer["HX-Redirect"] == "/login?next=%2Ftickets%3Fq%3Dink"


@pytest.mark.req("G30", "G31")
def test_guessing_is_slowed_down_by_address(client: Any, alice: Any, settings: Any) -> None:
    settings.RATE_LIMITS = {"login": (2, 86_400)}  # a day: the counter does not start anew in between
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]

    def tries(address: str, **headers: str) -> int:
        return client.post("/login", {"username": "alice", "password": "x"}, REMOTE_ADDR=address, **headers).status_code

    guesser = f"192.0.2.{random.randrange(256)}"
    assert [tries(guesser) for _ in range(3)] == [422, 422, 429]
    assert tries(f"198.51.100.{random.randrange(256)}") == 422  # somebody else
    # Behind a proxy we trust the guesser is the same; what a stranger claims to forward is not believed.
    assert tries("10.1.1.1", HTTP_X_FORWARDED_FOR=f"203.0.113.7, {guesser}") == 429
    assert tries(guesser, HTTP_X_FORWARDED_FOR="203.0.113.8") == 429
