"""What people send: refused while it comes when it is too large, encrypted when it is kept, gone afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path

from permissions.models import ImportPermission
from servicevault.uploads import SealedUpload

pytestmark = pytest.mark.django_db
LARGE = os.urandom(4 * 1024 * 1024)


def echo(request: HttpRequest) -> HttpResponse:
    sent = request.FILES.get("file")
    if sent is None:
        return HttpResponse("nothing")
    on_disk = list(Path(os.environ["UPLOADS_SEEN"]).iterdir())
    kept = all(LARGE[:1000] not in file.read_bytes() for file in on_disk)
    assert isinstance(sent, SealedUpload) == (len(on_disk) == 1)
    whole = b"".join(sent.chunks())
    sent.open()
    assert sent.read(10) + sent.read() == whole
    sent.seek(-5, 2)
    assert sent.read() == whole[-5:]
    return HttpResponse(f"{len(whole)} {kept} {whole == LARGE}")


urlpatterns = [path("echo", echo)]


@pytest.fixture
def folder(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings.IMPORT_TEMP_DIR = tmp_path
    monkeypatch.setenv("UPLOADS_SEEN", str(tmp_path))
    return tmp_path


def send(browser: Any, content: bytes) -> Any:
    with override_settings(ROOT_URLCONF=__name__):
        return browser.post("/echo", {"file": SimpleUploadedFile("data.csv", content)})


@pytest.mark.req("F-086", "F-138")
def test_a_large_file_is_encrypted_while_it_is_here(root: Any, logged_in: Callable[[Any], Any], folder: Path) -> None:
    browser = logged_in(root)
    assert send(browser, LARGE).content == f"{len(LARGE)} True True".encode()
    assert list(folder.iterdir()) == []
    assert send(browser, LARGE[:1000]).content.startswith(b"1000 ")


@pytest.mark.req("F-022", "F-121")
def test_what_is_larger_than_any_table_allows_is_refused_while_it_comes(
    alice: Any, logged_in: Callable[[Any], Any], folder: Path, settings: Any
) -> None:
    browser = logged_in(alice)
    ImportPermission.objects.create(user=alice, table_name="tickets", max_file_size_mb=6)
    assert send(browser, LARGE).status_code == 200
    answer = send(browser, LARGE * 2)
    assert answer.status_code in (400, 413)
    assert list(folder.iterdir()) == []


def test_nobody_leaves_a_file_without_logging_in(client: Any, folder: Path) -> None:
    assert send(client, LARGE).content == b"nothing"
    assert list(folder.iterdir()) == []


@pytest.mark.req("F-022")
def test_the_api_and_pages_say_what_the_limit_is(root: Any, settings: Any, folder: Path, logged_in: Any) -> None:
    settings.IMPORT_MAX_FILE_SIZE = 1
    sent = {"file": SimpleUploadedFile("pack.zip", LARGE * 2)}
    answer = logged_in(root).post("/api/import/templates/import", sent)
    assert (answer.status_code, answer.json()["code"], answer.json()["limit_mb"]) == (413, "IMPORT_001", 5)
    page = logged_in(root).post("/import/templates/import", {"file": SimpleUploadedFile("pack.zip", LARGE * 2)})
    assert page.status_code == 413
    assert "at most 5 MB" in page.content.decode()
