"""The cache may go away: nobody waits or fails for it."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from django.core.cache import cache, caches
from redis import exceptions

from servicevault.api.limits import spend
from servicevault.cache import ForgivingCache

PORT_OF_NOBODY = "redis://127.0.0.1:9"


@pytest.fixture
def away(settings: Any) -> Iterator[None]:
    """No server answers where the cache should be."""
    settings.CACHES = {"default": {"BACKEND": "servicevault.cache.ForgivingCache", "LOCATION": PORT_OF_NOBODY}}
    yield
    del caches["default"]


def test_what_is_kept_stays_in_this_process_meanwhile(away: None) -> None:
    cache.set("a", {"b": 1}, 60)
    assert cache.get("a") == {"b": 1}
    assert cache.get("nothing", "x") == "x"
    cache.delete("a")
    assert cache.get("a") is None
    assert caches["default"].is_away


@pytest.mark.req("G31")
def test_limits_count_per_process_while_the_cache_is_away(away: None, settings: Any) -> None:
    settings.RATE_LIMITS = {"builder": (2, 86_400)}
    assert [spend("builder", "somebody").allowed for _ in range(3)] == [True, True, False]


def test_it_asks_the_server_again_after_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("servicevault.cache.PAUSE_SECONDS", 0.0)
    asked = []

    def ask(*args: Any) -> str:
        asked.append(args)
        if len(asked) == 1:
            raise exceptions.ConnectionError
        return "from the server"

    kept = ForgivingCache(PORT_OF_NOBODY, {})
    assert kept._asked("get", ask, "key") is None
    assert kept._asked("get", ask, "key") == "from the server"


class Trap:
    """Says when it is opened."""

    opened: ClassVar[list[str]] = []

    def __reduce__(self) -> Any:
        return Trap.opened.append, ("it ran",)


def test_nothing_is_opened_that_somebody_else_put_there(settings: Any) -> None:
    """Who has the server's password has not the key of this installation."""
    name, kept = f"trap-{os.getpid()}", caches["default"]
    raw = kept._cache.get_client(write=True)
    kept.set(name, {"a": (1, None)}, 60)
    assert kept.get(name) == {"a": (1, None)}
    sealed = raw.get(kept.make_key(name))
    for forged in (pickle.dumps(Trap()), sealed[:32] + pickle.dumps(Trap()), b"", b"x", sealed[:-1]):
        raw.set(kept.make_key(name), forged, 60)
        assert kept.get(name) is None
        assert kept.get_many([name]) == {name: None}
    assert Trap.opened == []
    settings.SECRET_KEY = "another installation's" * 3
    raw.set(kept.make_key(name), sealed, 60)
    assert kept.get(name) is None
    kept.delete(name)


@pytest.mark.django_db
def test_pages_and_the_api_answer_without_a_cache(away: None, alice: Any, logged_in: Callable[[Any], Any]) -> None:
    browser = logged_in(alice)
    assert browser.get("/import").status_code == 200
    assert browser.get("/api/import/profiles").status_code == 200
