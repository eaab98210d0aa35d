"""What axe-core says of a page in a browser (U5)."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.base import AXE_SCRIPT

WCAG = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}}
COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}  # all that a dark page has of its own
# Nothing is still being read or faded: half a colour is no colour of the page.
SETTLED = """() => !document.querySelector('.htmx-request, .htmx-swapping, .htmx-settling, .htmx-added, [aria-busy=true]')
    && document.getAnimations().every(each => each.playState !== 'running' || each.effect.getTiming().iterations === Infinity)"""
ASK = """options => axe.run(document, {...options, resultTypes: ['violations']}).then(
    answer => answer.violations.map(item => [item.id, item.nodes.slice(0, 3).map(node => node.html.slice(0, 160))]))"""


def violations(tab: Any, rules: dict[str, Any] = WCAG) -> list[tuple[str, list[str]]]:
    """The rules that the page breaks, each with the first places of it. Only these leave the browser."""
    tab.wait_for_function(SETTLED)
    if not tab.evaluate("'axe' in window"):
        tab.evaluate(AXE_SCRIPT)
    found: list[tuple[str, list[str]]] = tab.evaluate(ASK, rules)
    return found
