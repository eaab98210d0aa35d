"""Every text of a page and of a script can be translated (C14): no sentence stands literally in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.template.base import DebugLexer, Token, TokenType

PROJECT = Path(__file__).resolve().parent.parent.parent
TEMPLATES = sorted((PROJECT / "templates").rglob("*.html"))
SCRIPTS = sorted((PROJECT / "static/js").glob("*.js"))

NAMES = ("Service Vault", "PostgreSQL", "FreeScout", "SQL", "CSV", "JSON", "XML", "YAML", "Excel", "UTC", "CTE")
READ_OUT = {
    "title", "alt", "placeholder", "label", "summary", "aria-label", "aria-description", "aria-valuetext",
    "aria-roledescription", "aria-placeholder", "hx-confirm", "hx-prompt",
    "data-announce", "data-busy", "data-label",
}  # fmt: skip
LEFT_ALONE = {"code", "kbd", "pre", "script", "style", "samp", "var"}
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
FORMATS = {"cut", "date", "floatformat", "get_digit", "may", "slice", "stringformat", "time", "truncatechars", "urlencode"}  # fmt: skip
NO_WORDS = {"body_id", "class", "css", "href", "id", "kind", "name", "parameter", "picture", "root", "size", "url"}
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


class Reader(HTMLParser):
    """Collects what a person would read or hear."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[Found] = []
        self.silent = ""  # the element that is left alone
        self.depth = 0  # how many of the same name are open within it
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self.silent:
            self.depth += tag == self.silent
            return
        given = {name: value or "" for name, value in attrs}
        if tag not in VOID and (tag in LEFT_ALONE or given.get("translate") == "no"):
            self.silent, self.depth = tag, 1
            return
        read_out = READ_OUT | ({"value"} if given.get("type") in {"submit", "button", "reset"} and tag == "input" else set())
        self.note(*(text for name, text in given.items() if (name in read_out or name.startswith("data-say-")) and given.get("translate") != "no"))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in LEFT_ALONE:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if self.silent:
            self.depth -= tag == self.silent
            self.silent = self.silent if self.depth else ""

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.note(data)

    def note(self, *texts: str) -> None:
        for text in filter(has_words, texts):
            before = text[: len(text) - len(text.lstrip(f" \n{VALUE}"))]
            self.found.append((self.getpos()[0] + before.count("\n"), " ".join(text.replace(VALUE, "…").split())))


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
        start, end = token.position
        shown = VALUE
        if token.token_type == TokenType.BLOCK:
            name = token.contents.split()[0]
            if name == until:
                until = ""
            elif not until and name in {"blocktranslate", "blocktrans", "comment"}:
                until = f"end{name}"
            if not until or until != "endcomment":
                found += words_of_tag(token)
        elif token.token_type == TokenType.VAR:
            shown += words_of_filters(token.contents)
        elif token.token_type == TokenType.TEXT:
            shown = source[start:end] if not until else ""
        html.append(shown if token.token_type == TokenType.TEXT and not until else shown + "\n" * source.count("\n", start, end))
    return sorted(found + Reader("".join(html)).found)


SHOWN_AS = re.compile(r"(?:textContent|innerText|title|placeholder|alt)\s*=\s*$|toLocaleString\(\s*$")
SELECTS = re.compile(r"(?:\$|querySelector|querySelectorAll|closest|matches|matchMedia)(?:\?\.)?\(\s*$")
SCRIPT_PARTS = re.compile(r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`""", re.DOTALL)
SENTENCE = re.compile(rf"[\w{VALUE}’'-]+[,;:.…]? +[(“]?[^\W\d_]{{2,}}(?![\w-]*[=\[#(>])|^[A-Z][a-z]+[.…!?]$")


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


def places(paths: list[Path], read: object) -> list[str]:
    return [
        f"{path.relative_to(PROJECT)}:{line}: {text[:100]}"
        for path in paths
        for line, text in read(path.read_text(encoding="utf-8"))  # type: ignore[operator]
    ]


@pytest.mark.req("C14")
def test_it_shows_no_text_of_a_template_untranslated() -> None:
    found = places(TEMPLATES, literal_texts)
    assert not found, f"{len(found)} texts of templates are not translated:\n" + "\n".join(found)


@pytest.mark.req("C14")
def test_it_says_nothing_from_a_script_in_words_of_its_own() -> None:
    found = places(SCRIPTS, literal_sentences)
    assert not found, f"{len(found)} texts of scripts are not translated:\n" + "\n".join(found)
