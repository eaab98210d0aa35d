"""Templates of one's own: made of a profile, taken out as files, brought in again, copied, deleted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from importer.models import ImportProfile
from templates_registry import operations as packs
from templates_registry.models import Template

pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.fixture
def browser(logged_in: Callable[[Any], Any], root: Any) -> Any:
    return logged_in(root)


def upload(browser: Any, name: str, content: bytes) -> Any:
    sent = SimpleUploadedFile(name, content)
    return browser.post(reverse("template_import"), {"file": sent}, follow=True)


@pytest.mark.req("T10", "T11", "U21d")
def test_a_profile_becomes_a_template_that_travels_as_a_file(browser: Any, desk_profile: ImportProfile) -> None:
    packs.apply(desk_profile, Template.objects.get(platform="freescout", is_system=True))
    assert (
        reverse("profile_template_save", args=[desk_profile.pk])
        in browser.get(reverse("profile", args=[desk_profile.pk])).content.decode()
    )

    saved = browser.post(
        reverse("profile_template_save", args=[desk_profile.pk]), {"name": "Our desk", "description": "As we map it"}
    )
    assert saved["Location"] == reverse("import_templates")
    made = Template.objects.get(name="Our desk")
    keys = set(desk_profile.queries.values_list("key", flat=True))
    assert set(made.definition["configuration"]["queries"]) == keys

    taken = browser.get(reverse("template_export", args=[made.pk]) + "?format=yaml")
    assert "attachment" in taken["Content-Disposition"]
    assert desk_profile.host.encode() not in taken.content
    browser.post(reverse("template_delete", args=[made.pk]))
    assert not Template.objects.filter(name="Our desk").exists()
    assert "is installed" in upload(browser, "desk.yaml", taken.content).content.decode()
    again = Template.objects.get(name="Our desk")
    assert browser.get(reverse("template_export", args=[again.pk]) + "?format=yaml").content == taken.content


@pytest.mark.req("N-151")
def test_a_file_that_is_no_template_is_refused_with_its_place(browser: Any) -> None:
    answer = upload(browser, "desk.yaml", b"name: X\nplatform: y\nconfiguration:\n  queries: 7\n")
    text = answer.content.decode()
    assert answer.status_code == 422
    assert "cannot be installed" in text
    assert "desk.yaml:" in text
    assert upload(browser, "desk.exe", b"MZ").status_code == 422
    assert browser.post(reverse("template_import"), {}).status_code == 422


@pytest.mark.req("N-150")
def test_queries_without_tests_are_no_pack(browser: Any, desk_profile: ImportProfile) -> None:
    packs.apply(desk_profile, Template.objects.get(platform="freescout", is_system=True))
    made = packs.save_as_template(desk_profile, "Untested")
    assert "format=zip" in browser.get(reverse("import_templates") + "?q=freescout").content.decode()
    assert "format=zip" not in browser.get(reverse("import_templates") + "?q=untested").content.decode()
    answer = browser.get(reverse("template_export", args=[made.pk]) + "?format=zip", follow=True)
    assert "has no tests" in answer.content.decode()


@pytest.mark.req("T9")
def test_what_is_shipped_is_copied_and_never_deleted(browser: Any) -> None:
    shipped = Template.objects.get(platform="freescout", is_system=True)
    assert browser.post(reverse("template_delete", args=[shipped.pk])).status_code == 422
    browser.post(reverse("template_copy", args=[shipped.pk]))
    copy = Template.objects.get(name=f"{shipped.name} (copy)")
    assert not copy.is_system
    browser.post(reverse("template_delete", args=[copy.pk]))
    assert Template.objects.filter(pk=shipped.pk).exists()
    assert not Template.objects.filter(pk=copy.pk).exists()
