"""A message is English where it is kept and the reader's language where it is shown (C14, docs/adr/0007)."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from django.db import connection
from django.template import Context, Template
from django.utils.html import format_html
from django.utils.translation import override

from servicevault.wording import Message, english, from_wire, say, say_count, to_wire, told
from tests.pseudo import PSEUDO

pytestmark = pytest.mark.req("C14")


@pytest.fixture(autouse=True)
def reader(pseudo_language: None) -> Any:
    with override(PSEUDO):
        yield


def test_it_is_english_where_it_is_kept(db: None) -> None:
    message = say("Column {column} is not in the file.", column="sku")
    text = "Column sku is not in the file."
    assert message == text
    assert message in {text}
    assert json.dumps(message) == json.dumps(text)
    with connection.cursor() as cursor:
        assert cursor.execute("SELECT %s::text", [message]).fetchone() == (text,)


@pytest.mark.parametrize(
    "shown",
    [
        str,
        lambda message: f"{message}",
        lambda message: "" + message + "",
        lambda message: message % (),
        lambda message: str(ValueError(message)),
        lambda message: str(format_html("{}", message)),
        lambda message: Template("{{ message }}").render(Context({"message": message})),
        lambda message: told({"errors": [message]})["errors"][0],
        lambda message: str(pickle.loads(pickle.dumps(message))),
        lambda message: str(copy.deepcopy(message)),
        lambda message: str(from_wire(json.loads(json.dumps(to_wire(message))))),
    ],
)
def test_it_is_translated_where_it_is_shown(shown: Any) -> None:
    assert shown(say("Row {row:,} is empty.", row=1204)) == "⟦Row 1,204 is empty.⟧"


def test_its_values_are_translated_too() -> None:
    message = say("The file cannot be read: {cause}.", cause=say("it took more than {limit} seconds", limit=5))
    assert message == "The file cannot be read: it took more than 5 seconds."
    assert str(message) == "⟦The file cannot be read: ⟦it took more than 5 seconds⟧.⟧"
    assert str(from_wire(json.loads(json.dumps(to_wire(message))))) == str(message)


def test_it_has_the_form_of_its_number() -> None:
    shown = [say_count("{count} row in {table}", "{count:,} rows in {table}", rows, table="t") for rows in (0, 1, 1204)]
    assert list(map(english, shown)) == ["0 rows in t", "1 row in t", "1,204 rows in t"]
    assert list(map(str, shown)) == ["⟦0 rows in t⟧", "⟦1 row in t⟧", "⟦1,204 rows in t⟧"]


def test_a_table_of_patterns_is_filled_in_later() -> None:
    assert str(say("{place} did not answer in time.").format(place="db:5432")) == "⟦db:5432 did not answer in time.⟧"


def test_a_mistaken_kind_of_value_is_said_in_english() -> None:
    sent = {"text": "5 rows", "forms": ["{n:,} rows"], "values": {"n": "five"}}
    assert str(from_wire(sent)) == "5 rows"


def test_it_leaves_braces_alone_that_name_no_value() -> None:
    assert say("Filters are a list of {column, operator, value}.") == "Filters are a list of {column, operator, value}."
    assert str(say("")) == ""


@pytest.mark.parametrize("wrong", ["{column", "{kolumn} fehlt", "{column:d}", "{column.name}"])
def test_a_mistake_of_a_translator_hides_nothing_and_is_told_once(wrong: str, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        assert str(Message("No sku.", (wrong,), {"column": "sku"})) == "No sku."
    (said,) = caplog.messages
    assert wrong in said
    assert PSEUDO in said


@pytest.mark.parametrize(
    "sent",
    [
        {"text": "x", "forms": ["{a.__class__}"], "values": {"a": "b"}},
        {"text": "x", "forms": ["{a:>9999999999}"], "values": {"a": "b"}},
        {"text": "x", "forms": ["one", "many"], "values": {"count": "no number"}},
        {"text": "x", "forms": ["one", "many"], "values": {}},
        {"text": "x", "forms": "abc", "values": []},
        {"text": "x", "forms": [], "values": {}},
        {"text": "x"},
        "x",
    ],
)
def test_what_a_hostile_process_sends_is_only_ever_text(sent: Any) -> None:
    with override("en"):
        assert str(from_wire(sent)) == "x"
