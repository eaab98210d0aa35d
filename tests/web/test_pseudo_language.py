"""Pages in a language that puts ⟦ ⟧ around every message: what stands outside of them is data (C14)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from gettext import NullTranslations
from typing import Any

import pytest
from django.urls import reverse
from django.utils.translation import trans_real

from exporter.models import ExportTemplate
from importer.models import ImportQuery, QueryRun
from tests.web.reading import Reader
from tests.web.test_matrix import places
from tests.web.test_translatable import NAMES

__all__ = ["places"]
pytestmark = [pytest.mark.django_db, pytest.mark.req("C14")]

PSEUDO = "he"  # a code that Django knows, written from right to left; its own catalogue is not used
HEADINGS = frozenset({"title", "h2", "h3", "legend", "summary", "caption", "th", "button"})
FIELDS = frozenset({"nav", "h1", "label", "option"})  # whose words come from modules, not from templates
DATA = (
    "Root Admin", "root@desk.example", "Alice Ng", "Charlie Day", "Old desk", "Odd rows", "tickets.csv", "accounts.csv",
    "TKT-2024-0007", "The printer prints in green",
)  # fmt: skip
# Single words of modules that nobody marks yet: choices of models, labels of fields and of catalogue columns.
STILL_ENGLISH = set(
    re.split(
        r",\s+",
        """Account external ID, Assigned user external ID, Category, Channel, Closed at, Created, Created at,
        Created by external ID, Customer email, Customer external ID, Customer name, Daily, Database, Description,
        Description format, Due at, Estimated hours, Export, External ID, Failed, File, Fri, Host, Hourly, Import, Mon,
        Monthly, Name, Notes, Port, Priority, Queue, Rehearsal, Resolved at, Review, Sat, Skipped, Started at, Status,
        Sun, Tags, Thu, Ticket number, Title, Tue, Unchanged, Updated, Updated at, Username, Wed, Weekly""",
    )
)
PAGES = {
    "login": {},
    "home": {},
    "import": {},
    "import_jobs": {},
    "profile_new": {},
    "profile": {"pk": "profile"},
    "builder_query": {"pk": "profile", "key": "query"},
    "job": {"pk": "job"},
    "job_records": {"pk": "job"},
    "ticket": {"pk": "ticket"},
    "data_import": {},
    "data_export": {},
    "exports": {},
    "approval_list": {},
    "table_permissions": {},
    "tokens": {},
}


class PseudoLanguage(NullTranslations):
    """A catalogue without words."""

    def language(self) -> str:
        return PSEUDO

    to_language = language

    def gettext(self, message: str) -> str:
        return f"⟦{message.rpartition(trans_real.CONTEXT_SEPARATOR)[2]}⟧"

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self.gettext(msgid1 if n == 1 else msgid2)


@pytest.fixture
def reader(settings: Any, monkeypatch: pytest.MonkeyPatch, root: Any, logged_in: Callable[[Any], Any]) -> Any:
    """A super admin's browser that asks for the pseudo language."""
    settings.LANGUAGES = [("en", "English"), (PSEUDO, "⟦⟧")]
    monkeypatch.setitem(trans_real._translations, PSEUDO, PseudoLanguage())
    browser = logged_in(root)
    browser.defaults["HTTP_ACCEPT_LANGUAGE"] = f"{PSEUDO}, en;q=0.5"
    return browser


def outside(html: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What the page says outside of messages, with the elements it stands in."""
    depth = 0
    for text in Reader(html).texts:
        opened = 0 if text.is_attribute else depth
        kept = []
        for part in re.split("([⟦⟧])", text.text):
            opened += (part == "⟦") - (part == "⟧")
            kept.append(part if opened == 0 and part not in "⟦⟧" else "")
        depth = depth if text.is_attribute else opened
        if words := "".join(kept).strip():
            yield words, text.within


@pytest.fixture
def shown(reader: Any, client: Any, places: dict[str, str]) -> dict[str, str]:
    """The pages by their names. What people named is called nothing that a message says too."""
    for model in (ImportQuery, QueryRun, ExportTemplate):
        model.objects.update(name="Odd rows")
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = PSEUDO
    urls = {name: reverse(name, kwargs={key: places[at] for key, at in given.items()}) for name, given in PAGES.items()}
    answers = {name: (client if name == "login" else reader).get(url) for name, url in urls.items()}
    assert {answer.status_code for answer in answers.values()} == {200}
    return {name: answer.content.decode() for name, answer in answers.items()}


def literal(html: str, elements: frozenset[str]) -> set[str]:
    """What these elements say outside of messages and is no data."""
    found = {
        re.sub("|".join(map(re.escape, (*DATA, *NAMES))), "", words)
        for words, within in outside(html)
        if elements & set(within)
    }
    return {words.strip() for words in found if any(map(str.isalpha, words))}


def test_pages_are_headed_in_the_readers_language(shown: dict[str, str]) -> None:
    assert {name: words for name, html in shown.items() if (words := literal(html, HEADINGS))} == {}
    for html in shown.values():
        assert re.search(r'<html lang="he"\s+dir="rtl">', html)
        assert html.count("⟦") == html.count("⟧") > 5
        assert not any(f"⟦{name}⟧" in html for name in DATA)
    for name, words in {"import": "Old desk", "exports": "Odd rows", "ticket": "The printer prints in green"}.items():
        assert words in " ".join(text for text, _ in outside(shown[name]))


def test_pages_name_their_fields_in_the_readers_language(shown: dict[str, str]) -> None:
    pytest.importorskip("servicevault.wording")  # without it modules speak English
    found = {re.sub(r" \d+$", "", words) for html in shown.values() for words in literal(html, FIELDS)}
    assert {words for words in found - STILL_ENGLISH if not re.fullmatch("[a-z_]+", words)} == set()  # tables, columns


def test_an_answer_names_the_language_it_was_chosen_by(reader: Any) -> None:
    answer = reader.get("/")
    assert answer.headers["Content-Language"] == PSEUDO
    assert {"Accept-Language", "Cookie"} <= {name.strip() for name in answer.headers["Vary"].split(",")}
    reader.defaults["HTTP_ACCEPT_LANGUAGE"] = "tlh, fr;q=0.5"  # offered by nobody
    assert '<html lang="en"' in reader.get("/").content.decode()


@pytest.mark.browser
@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_scripts_speak_the_readers_language(
    reader: Any, shop: Any, settings: Any, chromium: Any, live_server: Any
) -> None:
    settings.IMPORT_MAX_FILE_SIZE = 1
    context = chromium.new_context(base_url=live_server.url, locale=PSEUDO)
    context.add_cookies([{"name": "sessionid", "value": reader.cookies["sessionid"].value, "url": live_server.url}])
    tab = context.new_page()
    tab.goto(reverse("data_import") + "?table=accounts")
    big = {"name": "big.csv", "mimeType": "text/csv", "buffer": b"name\n" * 300_000}
    tab.locator("#upload-file").set_input_files(big)
    said = "big.csv has 1.4 MB; at most 1 MB are allowed. Split it, or ask for a higher limit."
    assert tab.locator("#upload-said").text_content() == f"⟦{said}⟧"
    tab.goto(reverse("profile_matching", args=[shop.pk]))
    floor = tab.locator("[data-slides=floor]")
    assert floor.get_attribute("aria-valuetext") == "⟦nobody is asked⟧"
    tab.locator("#id_review_floor").fill("60")
    assert floor.get_attribute("aria-valuetext") == "⟦60 percent⟧"
    context.close()
