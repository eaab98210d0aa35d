"""The way to a rollback in a browser: readable by everybody, light and dark, wide and narrow (U34, U5)."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from importer.models import ImportJob, Reversal
from tests.web.accessibility import violations

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True, serialized_rollback=True)]


@pytest.mark.req("U34", "U5")
def test_it_is_read_by_everybody_and_asks_before_it_starts(
    previewed_rollback: Any, alice: Any, chromium: Any, live_server: Any, picture: Any
) -> None:
    alice.grants.create(permission="import.rollback")
    reader = Client()
    reader.force_login(alice, backend="permissions.backends.EmailBackend")
    context = chromium.new_context(
        base_url=live_server.url, viewport={"width": 1440, "height": 900}, reduced_motion="reduce"
    )
    context.add_cookies([{"name": "sessionid", "value": reader.cookies["sessionid"].value, "url": live_server.url}])
    tab = context.new_page()
    job = previewed_rollback.origin
    for width, colours in ((1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")):
        tab.emulate_media(color_scheme=colours, reduced_motion="reduce")
        tab.goto(f"/import/jobs/{job.pk}/rollback")
        tab.wait_for_function(f"() => document.documentElement.dataset.bsTheme === '{colours}'")
        picture(tab, f"rollback-{colours}")
        tab.set_viewport_size({"width": width, "height": 900})
        assert violations(tab) == []
        assert tab.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    tab.get_by_role("button", name="Roll back now").click()
    assert tab.get_by_label("Type the number of the job").get_attribute("aria-invalid") == "true"
    picture(tab, "rollback-refused")
    assert violations(tab) == []
    tab.get_by_label("Type the number of the job").fill(str(job.number))
    tab.get_by_label("I understand").check()
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    tab.get_by_text("Waiting for a worker").wait_for()
    assert ImportJob.objects.filter(kind="rollback", status="pending").count() == 1
    picture(tab, "rollback-waiting")
    ImportJob.objects.filter(origin=job, status="pending").delete()
    Reversal.objects.all().delete()
    previewed_rollback.runs.all().delete()
    previewed_rollback.delete()
    tab.goto(f"/import/jobs/{job.pk}/rollback")
    tab.get_by_role("button", name="Show the preview").wait_for()
    picture(tab, "rollback-first")
    assert violations(tab) == []
    context.close()
