"""Imported texts, made fit to be shown: the one place where a foreign text becomes HTML (G34).

The stored text stays as the source had it. What a browser gets has passed nh3's allow-list last,
after every change of ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import nh3
from django.utils.html import linebreaks
from django.utils.safestring import SafeString

LONG_CHARACTERS = 20_000  # longer bodies come collapsed
EXCERPT_CHARACTERS = 4_000

_TEXT_TAGS = frozenset(
    "a abbr b bdi bdo blockquote br cite code dd del dfn div dl dt em hr i ins kbd li mark ol p pre q s samp small "
    "span strong sub sup table tbody td tfoot th thead tr u ul var".split()
)
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_ATTRIBUTES = {
    "a": {"href"},
    "img": {"src"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan"},
    "ol": {"start"},
    "bdo": {"dir"},
}
_LINKS = ("http://", "https://", "mailto:", "tel:")
_OWN_IMAGES = ("data:image/png;base64,", "data:image/jpeg;base64,", "data:image/gif;base64,", "data:image/webp;base64,")
_REMOVED = '<span class="sv-removed-image">remote image removed</span>'
_CLASSES = {"span": {"sv-removed-image"}}


@dataclass(frozen=True)
class Body:
    """A text ready for a template."""

    html: SafeString
    characters: int  # of the whole text
    is_excerpt: bool


def body(text: str | None, text_format: str, characters: int | None = None) -> Body:
    """The text as safe HTML. `characters` is the whole length when `text` is only its beginning."""
    text = text or ""
    length = len(text) if characters is None else characters
    html = clean(text) if text_format == "html" else SafeString(linebreaks(text, autoescape=True))
    return Body(html, length, is_excerpt=len(text) < length)


def clean(html: str) -> SafeString:
    """HTML with nothing in it that runs, loads or leads astray.

    Images of other servers tell the sender who reads; a note stands in their place. Headings become bold
    lines, because a page has one outline: its own.
    """
    known = _nh3(html, tags=_TEXT_TAGS | {"img", *_HEADINGS})
    for heading in _HEADINGS:
        known = known.replace(f"<{heading}>", "<div><strong>").replace(f"</{heading}>", "</strong></div>")
    # An image whose source was refused has no attribute left. The text changed, so the cleaner has the last word.
    return SafeString(_nh3(known.replace("<img>", _REMOVED), tags=_TEXT_TAGS | {"img"}))


def _nh3(html: str, *, tags: frozenset[str]) -> str:
    return nh3.clean(
        html,
        tags=set(tags),
        attributes={tag: set(names) for tag, names in _ATTRIBUTES.items()},
        allowed_classes=_CLASSES,
        attribute_filter=_kept,
        set_tag_attribute_values={"a": {"target": "_blank"}, "img": {}},
        url_schemes={"http", "https", "mailto", "tel", "data"},
        link_rel="noopener nofollow noreferrer",
        strip_comments=True,
    )


def _kept(tag: str, name: str, value: str) -> str | None:
    """The attribute's value, or None where it leads somewhere we do not send readers."""
    if name == "href":
        return value if value.strip().lower().startswith(_LINKS) else None
    if name == "src":
        return value if value.strip().lower().startswith(_OWN_IMAGES) else None
    return value
