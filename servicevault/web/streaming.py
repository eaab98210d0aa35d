"""Pages for an ASGI server, whose streams go out piece by piece.

Django collects what an ordinary iterator yields before it sends the first byte of it, and warns of that: a static
file or a download of gigabytes would lie whole in memory. Views and middlewares go on answering with ordinary
iterators and files; here their pieces are fetched one at a time, in the thread the view ran in.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase


class Pages(ASGIHandler):
    """Django's own handler, that never holds a whole stream."""

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        response = await super().get_response_async(request)
        pieces = response.streaming_content if isinstance(response, StreamingHttpResponse) else None
        if isinstance(response, StreamingHttpResponse) and isinstance(pieces, Iterator):
            response.streaming_content = _one_at_a_time(pieces)
        return response


async def _one_at_a_time(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    while (piece := await sync_to_async(_next)(pieces)) is not None:
        yield piece


def _next(pieces: Iterator[bytes]) -> bytes | None:
    return next(pieces, None)
