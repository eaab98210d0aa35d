"""Texts of foreign databases do nothing in the reader's browser (C9, G34, G35)."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from django.urls import reverse

from importer.models import ImportRecord
from servicevault.web.bodies import clean

PAYLOADS = [
    "<svg/onload=alert(1)>",
    '"><img src=x onerror=alert(1)>',
    "</script><script>alert(1)</script>",
    "{{7*7}}{% debug %}",
    "' onmouseover='alert(1)",
    '"><b hx-get="/logout" hx-trigger="load">x</b>',
]


class Dangers(HTMLParser):
    """Collects what would run or restyle: inline scripts and styles, handlers, addresses that are scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "style" or (tag == "script" and not (given.get("src") or "").startswith("/static/")):
            self.found.append(tag)
        self.found += [f"{tag} {name}" for name in given if name == "style" or name.startswith("on")]
        self.found += [f"{tag} {name}={value}" for name, value in attrs if (value or "").startswith("javascript:")]
        if given.get("hx-get") == "/logout":
            self.found.append("hx-get of a stranger")


@pytest.fixture
def pages(ticket: Any, finished_job: Any, pending_job: Any) -> list[str]:
    job = reverse("job", args=[finished_job.pk])
    live = reverse("job", args=[pending_job.pk])
    return [
        "/",
        "/import",
        job,
        live,
        f"{job}/records",
        "/tickets",
        "/tickets?q=x",
        reverse("ticket", args=[ticket.pk]),
        "/no",
    ]


@pytest.fixture
def browser(logged_in: Callable[[Any], Any], root: Any) -> Any:
    return logged_in(root)


@pytest.mark.req("G35")
def test_it_sends_a_strict_policy_and_needs_nothing_inline(browser: Any, pages: list[str], client: Any) -> None:
    for url, answer in [(page, browser.get(page)) for page in pages] + [("/login", client.get("/login"))]:
        policy = answer["Content-Security-Policy"]
        assert "default-src 'none'" in policy, url
        assert "unsafe" not in policy, url
        assert Dangers(answer.content.decode()).found == [], url


def test_it_loads_nothing_from_elsewhere(browser: Any, pages: list[str]) -> None:
    for url in pages:
        loaded = re.findall(
            r"<(?:script|link|img|use)\b[^>]*?(?:src|href)=\"([^\"]*)\"", browser.get(url).content.decode()
        )
        assert [address for address in loaded if not address.startswith("/static/")] == [], url


@pytest.mark.req("C9")
@pytest.mark.parametrize("payload", PAYLOADS)
def test_it_escapes_names_and_texts_of_the_source(
    browser: Any, ticket: Any, finished_job: Any, pages: list[str], payload: str
) -> None:
    profile = finished_job.profile
    profile.name = profile.description = profile.host = payload
    profile.save()
    ticket.title = ticket.queue = ticket.description = ticket.customer_name = payload
    ticket.tags, ticket.custom_fields = [payload], {payload: payload}
    ticket.save()
    ticket.comments.update(content=payload, author=None, author_name=payload, body_format="html")
    ImportRecord.objects.update(problems=[{"field": payload, "value": payload, "message": payload}])
    for url in pages:
        text = browser.get(url).content.decode()
        assert "<" not in payload or payload not in text, url  # the others are plain words: shown as they are
        assert Dangers(text).found == [], url


@pytest.mark.req("G34")
@pytest.mark.parametrize(
    ("html", "shown"),
    [
        ("<p>Hello <b>you</b></p>", "<p>Hello <b>you</b></p>"),
        ("<script>alert(1)</script>Hi", "Hi"),
        ("<style>body{display:none}</style>Hi", "Hi"),
        ("<p style='color:red' class='btn' id='main' onclick='x()'>Hi</p>", "<p>Hi</p>"),
        ("<div hx-get='/logout' hx-trigger='load' data-hx-post='/x'>Hi</div>", "<div>Hi</div>"),
        ("<a href='javascript:alert(1)'>x</a>", '<a target="_blank" rel="noopener nofollow noreferrer">x</a>'),
        ("<a href='data:text/html,x'>x</a>", '<a target="_blank" rel="noopener nofollow noreferrer">x</a>'),
        ("<a href='/logout'>x</a>", '<a target="_blank" rel="noopener nofollow noreferrer">x</a>'),
        ("<form action=/x><input name=q><button>Go</button></form>", "Go"),
        ("<iframe src='https://evil.example'></iframe><object data=x></object>", ""),
        ("<h1>Big</h1>", "<div><strong>Big</strong></div>"),
        ("<span class='sv-removed-image other'>x</span>", '<span class="sv-removed-image">x</span>'),
    ],
)
def test_it_cleans_html(html: str, shown: str) -> None:
    assert clean(html) == shown


@pytest.mark.parametrize(
    "source", ["https://t.example/p.gif", "//t.example/p.gif", "cid:1", "data:image/svg+xml,<svg/>", "x"]
)
def test_it_replaces_images_of_other_servers(source: str) -> None:
    shown = clean(f'before<img src="{source}" width=1 onerror=alert(1)>after')
    assert shown == 'before<span class="sv-removed-image">remote image removed</span>after'


def test_it_keeps_images_that_lie_in_the_text() -> None:
    assert clean('<img src="data:image/png;base64,AAAA">') == '<img src="data:image/png;base64,AAAA">'


def test_it_cannot_be_talked_out_of_an_attribute() -> None:
    shown = clean('<a href="https://x.example/?<img>onmouseover=alert(1)//<script>alert(1)</script>">x</a>')
    assert Dangers(shown).found == []
    assert "&lt;img&gt;onmouseover" in shown


def test_it_opens_links_apart_from_this_page() -> None:
    shown = clean("<a href='https://x.example/a'>x</a>")
    assert shown == '<a href="https://x.example/a" target="_blank" rel="noopener nofollow noreferrer">x</a>'
