"""Every text of a page and of a script can be translated (C14): no sentence stands literally in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.template.base import DebugLexer, Token, TokenType

from tests.web.reading import Reader

PROJECT = Path(__file__).resolve().parent.parent.parent
TEMPLATES = sorted((PROJECT / "templates").rglob("*.html"))
SCRIPTS = sorted((PROJECT / "static/js").glob("*.js"))

NAMES = (
    "Service Vault",
    "PostgreSQL",
    "FreeScout",
    "SQL",
    "CSV",
    "JSON",
    "XML",
    "YAML",
    "Excel",
    "UTC",
    "NULL",
    "SHA-256",
)
FORMATS = {"cut", "date", "floatformat", "get_digit", "may", "slice", "stringformat", "time", "truncatechars", "urlencode"}  # fmt: skip
NO_WORDS = {
    "body_id",
    "class",
    "class_name",
    "css",
    "href",
    "id",
    "kind",
    "name",
    "parameter",
    "picture",
    "root",
    "size",
    "url",
}
VALUE = "\ue000"  # stands where a template puts a value or a translated text

QUOTED = r"""("[^"]*"|'[^']*')"""
FILTER = re.compile(rf"\|\s*(\w+)(?::(?:_\({QUOTED}\)|{QUOTED}))?")
KEYWORD = re.compile(rf"\b(\w+)=(?:_\({QUOTED}\)|{QUOTED})")
LITERAL = re.compile(rf"(?<![\w(=:]){QUOTED}")
Found = tuple[int, str]


def has_words(text: str) -> bool:
    for name in NAMES:
        text = text.replace(name, "")
    return any(character.isalpha() for character in text)


def words_of_filters(expression: str) -> str:
    """What the filters of an expression write by themselves: `|default:"none"`, `|pluralize`."""
    said = []
    for name, translated, given in FILTER.findall(expression):
        if name == "pluralize":
            said.append(given.strip("\"'") or "s")
        elif given and not translated and name not in FORMATS:
            said.append(re.sub(r"<[^>]+>", "", given.strip("\"'")))
    return " ".join(said)


def texts_of(html: str) -> Iterator[Found]:
    for each in Reader(html).texts:
        if has_words(each.text):
            before = each.text[: len(each.text) - len(each.text.lstrip(f" \n{VALUE}"))]
            yield each.line + before.count("\n"), " ".join(each.text.replace(VALUE, "…").split())


def words_of_tag(token: Token) -> Iterator[Found]:
    """Texts that a tag is given: `{% include … with title="Text" %}`, `{% firstof name "nobody" %}`."""
    name = token.contents.split()[0]
    if name in {"if", "elif"}:
        return
    said = [given.strip("\"'") for key, _, given in KEYWORD.findall(token.contents) if key not in NO_WORDS]
    said.append(words_of_filters(token.contents))
    if name in {"firstof", "cycle"}:
        said += [given.strip("\"'") for given in LITERAL.findall(token.contents)]
    yield from ((token.lineno, text) for text in said if has_words(text))


def literal_texts(source: str) -> list[Found]:
    """Line and text of what a template shows to people without asking for its translation."""
    found: list[Found] = []
    html: list[str] = []
    until = ""  # the tag that ends a translated text or a comment
    for token in DebugLexer(source).tokenize():
        written = source[slice(*token.position)]
        shown = VALUE + "\n" * written.count("\n")  # the lines below keep their numbers
        if token.token_type == TokenType.BLOCK:
            name = token.contents.split()[0]
            if until != "endcomment":
                found += words_of_tag(token)
            if name == until:
                until = ""
            elif not until and name in {"blocktranslate", "comment"}:
                until = f"end{name}"
        elif token.token_type == TokenType.VAR:
            shown += words_of_filters(token.contents)
        elif token.token_type == TokenType.TEXT and not until:
            shown = written
        html.append(shown)
    return sorted([*found, *texts_of("".join(html))])


SHOWN_AS = re.compile(r"(?:textContent|innerText|title|placeholder|alt)\s*=\s*$|toLocaleString\(\s*$")
SELECTS = re.compile(r"(?:\$|querySelector|querySelectorAll|closest|matches|matchMedia)(?:\?\.)?\(\s*$")
SCRIPT_PARTS = re.compile(
    r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`""", re.DOTALL
)
SENTENCE = re.compile(rf"[\w{VALUE}'-]+[,;:.…]? +[(“]?[^\W\d_]{{2,}}(?![\w-]*[=\[#(>])|^[A-Z][a-z]+[.…!?]$")


def literal_sentences(source: str) -> list[Found]:
    """Line and text of what a script says to people in words of its own."""
    found = []
    for part in SCRIPT_PARTS.finditer(source):
        before, text = source[: part.start()], part.group()
        if text.startswith(("//", "/*")) or SELECTS.search(before) or text[1:-1] == "use strict":
            continue
        text = re.sub(r"\$\{[^}]*\}", VALUE, text[1:-1])
        if SENTENCE.search(text) or (SHOWN_AS.search(before) and has_words(text)):
            found.append((before.count("\n") + 1, text.replace(VALUE, "…")))
    return found


def places(paths: list[Path], read: Callable[[str], list[Found]]) -> list[str]:
    return [
        f"{path.relative_to(PROJECT)}:{line}: {text[:100]}"
        for path in paths
        for line, text in read(path.read_text(encoding="utf-8"))
    ]


LITERAL_TEMPLATE = """{% load pages %}
<h1 title="Tickets of {{ name }}">{% translate "Tickets" %}</h1>
<p class="text">{{ count }}
   rows</p>
{{ name|default:"nobody" }} {{ count }} {% translate "row" %}{{ count|pluralize }}
{% include "components/empty.html" with picture="ticket" title="No tickets yet" text=_("Bring them over.") %}
{% firstof name "Unknown" %} <td data-label="Name">{{ name }}</td> <input type="submit" value="Save">
"""
TRANSLATED_TEMPLATE = """{# Needs: name. #}
<h1 class="{% if name %}b-title{% else %}sv-title{% endif %}" title="{% translate 'All tickets' %}">{{ name|default:_("nobody") }}</h1>
{% blocktranslate count number=rows|length with day=on|date:"j M Y" %}{{ number }} row <b>of</b> {{ day }}{% plural %}{{ number }} rows <b>of</b> {{ day }}{% endblocktranslate %}
<p aria-pressed="{{ is_on|yesno:'true,false' }}">CSV, 12 % {% comment %}Not shown.{% endcomment %}<code>manage.py up</code><b translate="no">true</b></p>
{% if name == "alice" %}{% icon "check" %}{% endif %}{{ names|join:", " }}{% include "a.html" with picture="ticket" size="lg" %}
<input type="hidden" value="Save"><script src="a.js"></script>
"""
LITERAL_SCRIPT = """"use strict";
// This is said to nobody.
place.textContent = "Copied";
say(`${file.name} is too large. Split it.`);
root.querySelector("main h1, h1").dataset.sayLost = place.dataset.sayLost;
"""


@pytest.mark.req("C14")
def test_it_finds_texts_that_cannot_be_translated() -> None:
    assert literal_texts(LITERAL_TEMPLATE) == [
        (2, "Tickets of …"), (4, "… rows"), (5, "…nobody … ……s … …"), (6, "No tickets yet"), (7, "Name"), (7, "Save"),
        (7, "Unknown"),
    ]  # fmt: skip
    assert literal_texts(TRANSLATED_TEMPLATE) == []
    assert literal_sentences(LITERAL_SCRIPT) == [(3, "Copied"), (4, "… is too large. Split it.")]


@pytest.mark.req("C14")
def test_it_shows_no_text_of_a_template_untranslated() -> None:
    found = places(TEMPLATES, literal_texts)
    assert not found, f"{len(found)} texts of templates are not translated:\n" + "\n".join(found)


@pytest.mark.req("C14")
def test_it_says_nothing_from_a_script_in_words_of_its_own() -> None:
    found = places(SCRIPTS, literal_sentences)
    assert not found, f"{len(found)} texts of scripts are not translated:\n" + "\n".join(found)
