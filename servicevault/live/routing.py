"""The sockets' addresses, beside those of servicevault.urls."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from channels.routing import URLRouter
from django.urls import path
from redis.exceptions import RedisError

from servicevault.live.consumer import LiveSocket

logger = logging.getLogger("servicevault.live")

_router = URLRouter([path("ws/import", LiveSocket.as_asgi())])


async def sockets(
    scope: dict[str, Any], receive: Callable[..., Awaitable[Any]], send: Callable[..., Awaitable[Any]]
) -> None:
    """The ASGI application for sockets. Refuses unknown addresses, and all while the broker is away (L17)."""
    try:
        await _router(scope, receive, send)
    except ValueError as error:
        if "No route found" not in str(error):
            raise
        await send({"type": "websocket.close"})
    except RedisError:
        logger.warning("a socket was refused or ended: the broker does not answer")
        await send({"type": "websocket.close", "code": 1013})
