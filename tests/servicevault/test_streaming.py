"""What streams leaves an ASGI server piece by piece: no download and no static file lies whole in memory."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, StreamingHttpResponse

from servicevault.web.streaming import Pages
from tests.live.conftest import site

__all__ = ["site"]
STYLE = Path(__file__).resolve().parents[2] / "static" / "css" / "app.css"


def test_a_piece_is_fetched_when_the_one_before_it_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[int] = []

    def pieces() -> Iterator[bytes]:
        for number in range(3):
            fetched.append(number)
            yield b"%d" % number

    async def answer(self: Any, request: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(pieces())

    async def serve() -> list[tuple[bytes, int]]:
        response = await Pages().get_response_async(HttpRequest())
        return [(piece, len(fetched)) async for piece in response]

    monkeypatch.setattr(ASGIHandler, "get_response_async", answer)
    assert asyncio.run(serve()) == [(b"0", 1), (b"1", 2), (b"2", 3)]


def test_the_server_sends_static_files_whole(site: Any) -> None:
    with urllib.request.urlopen(f"{site.url}/static/css/app.css") as answer:
        assert answer.read() == STYLE.read_bytes()
