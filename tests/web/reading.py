"""What of a page a person reads or hears: its texts, and the attributes that are read out or that scripts show."""

from __future__ import annotations

from dataclasses import dataclass
from html.parser import HTMLParser

READ_OUT = {
    "title", "alt", "placeholder", "label", "summary", "aria-label", "aria-description", "aria-valuetext",
    "aria-roledescription", "aria-placeholder", "hx-confirm", "hx-prompt",
    "data-announce", "data-busy", "data-label",
}  # fmt: skip
FOR_SCRIPTS = "data-say-"  # attributes that begin so hold what a script may say
LEFT_ALONE = {"code", "kbd", "pre", "script", "style", "samp", "var"}
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
BUTTONS = {"submit", "button", "reset"}


@dataclass(frozen=True)
class Text:
    line: int
    text: str
    within: tuple[str, ...]  # the open elements, the outermost first
    is_attribute: bool = False


class Reader(HTMLParser):
    """Collects the texts in their order. `translate="no"`, code and keys are left alone."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[Text] = []
        self.open: list[str] = []
        self.silent = 0  # how many elements are open when the one ends that is left alone
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        is_silent = tag in LEFT_ALONE or given.get("translate") == "no"
        if not self.silent and not is_silent:
            is_button = tag == "input" and given.get("type") in BUTTONS
            for name, text in given.items():
                if name in READ_OUT or name.startswith(FOR_SCRIPTS) or (is_button and name == "value"):
                    self.texts.append(Text(self.getpos()[0], text, (*self.open, tag), is_attribute=True))
        if tag not in VOID:
            self.silent = self.silent or (len(self.open) + 1 if is_silent else 0)
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.open:
            return
        while self.open.pop() != tag:
            pass
        if len(self.open) < self.silent:
            self.silent = 0

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.texts.append(Text(self.getpos()[0], data, tuple(self.open)))
