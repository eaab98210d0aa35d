"""A browser, a help desk's database to build queries for, and Alice's profile of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections

from importer import operations
from importer.models import ImportProfile
from importer.sources.params import ConnectionParams
from tests.web.builder_desk import make_source

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]  # CI runs as root, without a screen


@pytest.fixture
def chromium(live_server: Any) -> Iterator[Any]:
    """A browser for one test. Ask for it after the fixtures that make rows: see below."""
    if CHROMIUM is None and os.environ.get("CI") != "true":
        pytest.skip("no Chromium here; apt-get install chromium")
    from playwright.sync_api import sync_playwright

    # Playwright keeps an event loop in this thread. While it does, Django gives this thread connections of their
    # own and refuses to use them; so the loop ends before the database is cleaned, and takes them with it.
    with pytest.MonkeyPatch.context() as environment, sync_playwright() as playwright:
        environment.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()
        connections.close_all()


@pytest.fixture
def tab(chromium: Any, live_server: Any) -> Iterator[Any]:
    """A tab that notes what must not happen in `tab.misdeeds`: dialogs, refused scripts, requests to other servers."""
    context = chromium.new_context(base_url=live_server.url)
    tab = context.new_page()
    tab.set_default_timeout(15_000)
    tab.misdeeds = []
    tab.on("dialog", lambda dialog: (tab.misdeeds.append(dialog.message), dialog.dismiss()))
    tab.on("console", lambda message: tab.misdeeds.append(message.text) if "Content Security" in message.text else None)
    tab.on("pageerror", lambda error: tab.misdeeds.append(str(error)))
    tab.on(
        "request",
        lambda request: None if request.url.startswith(live_server.url) else tab.misdeeds.append(request.url),
    )
    yield tab
    context.close()


@pytest.fixture(scope="session")
def builder_source(source_database: Callable[..., str]) -> ConnectionParams:
    return make_source(source_database)


@pytest.fixture
def shop(db: None, builder_source: ConnectionParams, alice: Any) -> ImportProfile:
    """Alice's profile of the shop; without a query."""
    profile, _ = operations.profile_named("Shop", builder_source, created_by=alice)
    return profile
