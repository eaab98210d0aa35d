"""The frames of one channel as Server-Sent Events, for clients without WebSocket (L16)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

from channels.layers import get_channel_layer
from django.core.handlers.asgi import ASGIRequest
from django.db import DatabaseError, connection
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from redis.exceptions import RedisError
from rest_framework.renderers import BaseRenderer
from rest_framework.utils.encoders import JSONEncoder

from servicevault.jobs.models import FINISHED
from servicevault.live.channels import Frame
from servicevault.live.identity import Identity
from servicevault.live.listener import LOOK_SECONDS, Gone, Listener, read

RETRY_MILLISECONDS = 3_000  # when a browser asks again after the stream ended; the pace of polling (L11)


class EventStream(BaseRenderer):
    """Lets a client ask for the media type; what it is answered is no data to be rendered."""

    media_type = "text/event-stream"
    format = "events"


def stream_of(request: Any, identity: Identity, channel: str, *, is_over: bool) -> HttpResponseBase:
    """The stream of a channel that the caller may listen on; it ends with what it is about.

    While it lasts it holds neither a database connection nor a thread of the server's. Asked by a server without
    streams (WSGI) it is one frame long, and the client asks again. Whoever asks again after the end gets 204, which
    keeps a browser from asking once more.
    """
    if is_over and request.headers.get("Last-Event-ID"):
        return HttpResponse(status=204)
    listener = Listener(identity)
    frames: AsyncIterator[str] | Iterator[str]
    if isinstance(getattr(request, "_request", request), ASGIRequest):
        frames = _frames(listener, channel)
        if not connection.in_atomic_block:
            connection.close()  # this thread waits for the stream's end, and would keep it as long
    else:
        frames = iter([_begin(), *map(_event, listener.frames_now(channel))])
    answer = StreamingHttpResponse(frames, content_type="text/event-stream")
    answer.headers["X-Accel-Buffering"] = "no"  # nginx would keep the events to itself
    return answer


async def _frames(listener: Listener, channel: str) -> AsyncIterator[str]:
    layer = get_channel_layer()
    assert layer is not None
    yield _begin()
    try:
        if not await read(listener.sit):
            yield 'event: error\ndata: {"code": "rate_limited"}\n\n'
            return
        name = await layer.new_channel()
        await layer.group_add(channel, name)
    except (Gone, RedisError, DatabaseError):
        return  # the client asks again, which is polling
    coming = asyncio.ensure_future(layer.receive(name))
    try:
        for frame in await read(listener.frames_now, channel):
            yield _event(frame)
            if frame.data.get("status") in FINISHED:
                return
        while True:
            done, _ = await asyncio.wait({coming}, timeout=LOOK_SECONDS)
            if not done:
                await read(listener.stay)
                yield ": still here\n\n"
                continue
            hint = coming.result()
            coming = asyncio.ensure_future(layer.receive(name))
            found = await read(listener.frame_of, hint)
            if found is not None:
                yield _event(found)
            if hint.get("status") in FINISHED:
                return
    except (Gone, RedisError, DatabaseError):
        return
    finally:
        with contextlib.suppress(RedisError):
            await layer.group_discard(channel, name)
            coming.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await coming
            await read(listener.leave)


def _begin() -> str:
    return f"retry: {RETRY_MILLISECONDS}\n\n"


def _event(frame: Frame) -> str:
    """One frame; its number is what a browser tells when it asks again."""
    return (
        f"id: {frame.data.get('sequence', 0)}\nevent: {frame.event}\n"
        f"data: {json.dumps(frame.as_dict(), cls=JSONEncoder)}\n\n"
    )
