"""Pages in a language that puts ⟦ ⟧ around every message: what stands outside of them is data (C14)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from gettext import NullTranslations
from typing import Any, get_args

import pytest
from django.urls import reverse
from django.utils.translation import trans_real

from exporter.models import ExportTemplate
from importer.models import ImportQuery, QueryRun
from servicevault import catalog, tables
from templates_registry.models import Template
from templates_registry.platforms import PLATFORMS
from tests.web.reading import Reader
from tests.web.test_matrix import address, places
from tests.web.test_translatable import NAMES

__all__ = ["places"]
pytestmark = [pytest.mark.django_db, pytest.mark.req("C14")]

PSEUDO = "he"  # a code that Django knows, written from right to left; its own catalogue is not used
HEADINGS = frozenset({"title", "h2", "h3", "legend", "summary", "caption", "th", "button"})
PLACES = frozenset(  # whose words come from modules, not from templates
    {"nav", "h1", "label", "option", "span", "li", "dt", "dd", "td", "input", "select", "textarea"}
)
# What people, sources and programs named: it is the same in every language.
DATA = (
    "Root Admin", "root@desk.example", "Alice Ng", "Bob Ruiz", "bob@desk.example", "Charlie Day", "charlie@desk.example",
    "Cora Customer", "cora@acme.example", "C••• C•••", "c•••@•••.example", "Acme Ltd", "Hardware", "Viewer", "Old desk",
    "old-desk", "OLD-4711", "Odd rows", "tickets.csv", "accounts.csv", "TKT-2024-0007", "The printer prints in green",
    "127.0.0.1:1 · desk", "reader", "public.tickets → tickets",
    "JSON Lines", "XLSX", "jsonl", "json", "csv", "xlsx", "xls", "xml", "yaml",
)  # fmt: skip
# Kept in English, as the decision says (docs/adr/0007): reasons, codes of problems, and the keys of notes.
STORED = {
    "This is not a date.",
    "same name",
    "ambiguous",
    "not_a_date",
    "not an email (2)",
    "rows",
    "what",
    "n1",
    "c0",
    "c1",
    "n2",
    "n3",
}
HEADS = {"name", "email"}  # columns of files and plans


PAGES = (
    "login", "home", "import", "import_jobs", "import_review", "import_templates", "profile_new", "profile", "profile_edit",
    "profile_duplicate", "profile_access", "profile_delete", "profile_matching", "profile_value_maps", "profile_agents",
    "builder_query", "job", "job_records", "job_record", "job_plan", "job_review", "ticket", "ticket_list", "data_import",
    "data_import_read", "data_import_map", "data_import_check", "data_import_history", "data_export", "exports",
    "approval_list", "table_permissions", "settings_import", "audit", "tokens",
)  # fmt: skip


SINGLE_WORDS = {
    "profile_edit": ("Host", "Port", "Database", "Username", "Description", "Notes"),
    "builder_query": ("External ID", "Closed at", "Ticket number"),
    "job": ("Import ", "failed", "created", "skipped"),
    "job_records": ("failed", "unchanged", "review"),
    "ticket": ("Open",),
    "exports": ("Daily", "Hourly", "Mon", "Sun"),
    "table_permissions": ("Agent", "Super Admin"),
    "tokens": ("Name", "30 days", "What is it for?"),
    "audit": ("Access denied",),
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
    urls = {name: address(name, places) for name in PAGES}
    answers = {name: (client if name == "login" else reader).get(url) for name, url in urls.items()}
    assert {name: answer.status_code for name, answer in answers.items() if answer.status_code != 200} == {}
    return {name: answer.content.decode() for name, answer in answers.items()}


def literal(html: str, elements: frozenset[str]) -> set[str]:
    """What these elements say outside of messages and is no data; one query, for the names of templates."""
    templates = {*Template.objects.values_list("name", flat=True), *(each.name for each in PLATFORMS)}
    found = {
        re.sub("|".join(map(re.escape, sorted({*DATA, *NAMES, *templates}, key=len, reverse=True))), "", words)
        for words, within in outside(html)
        if elements & set(within)
    }
    return {words.strip(" :\n") for words in found if any(map(str.isalpha, words))}


def test_pages_are_headed_in_the_readers_language(shown: dict[str, str]) -> None:
    assert {name: words for name, html in shown.items() if (words := literal(html, HEADINGS) - HEADS)} == {}
    for html in shown.values():
        assert re.search(r'<html lang="he"\s+dir="rtl">', html)
        assert html.count("⟦") == html.count("⟧") > 5
        assert not any(f"⟦{name}⟧" in html for name in DATA)
    for name, words in {"import": "Old desk", "exports": "Odd rows", "ticket": "The printer prints in green"}.items():
        assert words in " ".join(text for text, _ in outside(shown[name]))


def names_of_columns() -> set[str]:
    """Tables, columns, fields and types as the database and the catalogue call them."""
    named = {column.name for table in tables.listed() for column in tables.find(table.name).columns}
    fields = {name for target in catalog.all_targets() for name in target.known}
    return {table.name for table in tables.listed()} | named | fields | set(get_args(catalog.FieldType))


def test_pages_say_their_single_words_in_the_readers_language(shown: dict[str, str]) -> None:
    found = {words for html in shown.values() for words in literal(html, PLACES)}
    assert {words for words in found if words.partition(" \N{EN DASH} ")[0] not in names_of_columns()} - STORED == set()
    missing = {name: {word for word in words if f"⟦{word}" not in shown[name]} for name, words in SINGLE_WORDS.items()}
    assert {name: words for name, words in missing.items() if words} == {}


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
