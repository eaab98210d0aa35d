"""The way to a rollback in a browser: readable by everybody, light and dark, wide and narrow (U34, U5)."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from importer import runner
from importer.models import ImportJob, Reversal
from importer.operations import files
from servicevault.models import Account
from tests.web.accessibility import violations
from tests.web.test_browser import log_in

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


@pytest.mark.whole
@pytest.mark.req("U34", "U6", "R7", "R20")
def test_a_file_is_looked_at_rolled_back_and_brought_back_by_mouse_and_by_keyboard(
    root: Any, worker: Callable[[], ImportJob], settings: Any, tmp_path: Path, tab: Any
) -> None:
    settings.IMPORT_TEMP_DIR = tmp_path / "imports"
    job = files.upload(root, io.BytesIO(b"name\nAcme\nBeta\n"), "firms.csv", table_name="", target_type="accounts")
    files.validate(job, root)
    files.start(job, root)
    runner.work(job.pk)

    def ended(words: str, *, by_itself: bool = False) -> None:
        """A worker did what was asked for, and the page says so."""
        tab.get_by_text("Waiting for a worker.", exact=True).wait_for()  # not the monitor's
        assert worker().status == "completed"
        if not by_itself:
            tab.reload()
        tab.get_by_text(words).first.wait_for()

    log_in(tab, root.username)
    tab.goto(f"/settings/data-import/{job.pk}")
    tab.get_by_role("link", name="Roll back…").click()
    tab.get_by_role("button", name="Show the preview").click()
    ended("2 reversed; nothing was written.", by_itself=True)
    assert Account.objects.count() == 2
    tab.get_by_label("Type the number of the job").fill(str(job.number))
    tab.get_by_label("I understand").check()
    tab.get_by_role("button", name="Roll back now").click()
    ended("2 reversed.")
    assert Account.objects.count() == 0
    tab.get_by_role("button", name="Undo this rollback").click()
    ended("2 reversed.")
    assert Account.objects.count() == 2

    def go_to(role: str, name: str) -> None:
        """Tab on until it has the focus."""
        wanted = tab.get_by_role(role, name=name).first
        wanted.wait_for()
        for _ in range(60):
            tab.keyboard.press("Tab")
            if wanted.evaluate("element => element === document.activeElement"):
                return
        raise AssertionError(f"The keyboard does not reach {name}.")

    tab.goto(f"/import/jobs/{job.pk}/rollback")
    go_to("button", "Show the preview")  # what was seen before holds no more
    tab.keyboard.press("Enter")
    ended("2 reversed; nothing was written.")
    go_to("textbox", "Type the number of the job")
    tab.keyboard.type(str(job.number))
    tab.keyboard.press("Tab")
    tab.keyboard.press("Space")
    go_to("button", "Roll back now")
    tab.keyboard.press("Enter")
    ended("2 reversed.")
    assert Account.objects.count() == 0
    go_to("button", "Undo this rollback")
    tab.keyboard.press("Enter")
    ended("2 reversed.")
    assert (Account.objects.count(), tab.misdeeds) == (2, [])
