"""axe finds no violation of WCAG 2.1 AA on any page, light and dark (U5)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.matrix import MATRIX, PEOPLE
from tests.web.accessibility import COLOURS, violations
from tests.web.test_matrix import places

__all__ = ["places"]
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True, serialized_rollback=True)]

ALICE = PEOPLE.index("alice")
DOCUMENTATION = {"docs", "api_schema"}  # a page of its own makers


@pytest.fixture
def known(places: Any, profile: Any, shop: Any) -> dict[str, str]:
    """Where pages are: of a profile whose source answers."""
    for query in profile.queries.all():
        shop.queries.create(
            key=query.key, name=query.name, entity=query.entity, target_type=query.target_type, spec=query.spec
        )
    return places | {"profile": str(shop.pk)}


@pytest.mark.whole
@pytest.mark.req("U5")
def test_every_page_is_accessible(known: Any, alice: Any, chromium: Any, live_server: Any) -> None:
    reader = Client()
    reader.force_login(alice, backend="permissions.backends.EmailBackend")
    context = chromium.new_context(
        base_url=live_server.url, viewport={"width": 1440, "height": 900}, reduced_motion="reduce"
    )
    tab = context.new_page()
    found = look(tab, "/login", "login")
    session = {"name": "sessionid", "value": reader.cookies["sessionid"].value, "url": live_server.url}
    context.add_cookies([session])
    for name, who in MATRIX.items():
        if who.get[ALICE] != 200 or name in DOCUMENTATION:
            continue
        url = reverse(name, kwargs={argument: known[place] for argument, place in who.arguments.items()})
        answer = reader.get(url)
        # A part of a page is looked at where it is shown; a download is none.
        if not answer.streaming and b"<html" in answer.content[:500]:
            found |= look(tab, url, name)
    tab.goto(reverse("job_report", args=[known["job"], "html"]))  # to print: it has no scripts, so no dark theme
    found |= {"job_report": items} if (items := violations(tab)) else {}
    context.close()
    assert found == {}, json.dumps(found, indent=1)


def look(tab: Any, url: str, name: str) -> dict[str, Any]:
    """What axe finds on the page, light and dark: the rules, and the first places of each."""
    tab.emulate_media(color_scheme="light", reduced_motion="reduce")
    tab.goto(url)
    found = violations(tab)
    tab.emulate_media(color_scheme="dark", reduced_motion="reduce")
    tab.wait_for_function("() => document.documentElement.dataset.bsTheme === 'dark'")
    told = {"light": found, "dark": violations(tab, COLOURS)}
    return {f"{name}, {scheme}": items for scheme, items in told.items() if items}
