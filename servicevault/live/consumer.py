"""The socket at `/ws/import` (L1 to L3, L15)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from io import BytesIO
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from django.core.handlers.asgi import ASGIRequest
from django.db import DatabaseError
from redis.exceptions import RedisError
from rest_framework.utils.encoders import JSONEncoder

from servicevault.live import identity
from servicevault.live.channels import Frame
from servicevault.live.identity import Identity
from servicevault.live.listener import LOOK_SECONDS, MOST_CHANNELS, Gone, Listener, read
from servicevault.wording import say

AUTHENTICATE_SECONDS = 5.0  # L1
MOST_FRAMES, WINDOW_SECONDS = 200, 10.0  # that a client may send
MOST_BYTES = 16_384  # of one frame of a client's

UNKNOWN = 4401  # close codes: nobody known, or not any more
TOO_MANY = 4429
AWAY = 1013  # "try again later", RFC 6455's registry: nothing would reach the client now


class LiveSocket(AsyncWebsocketConsumer):
    """One socket. Tells what happens on the channels it was subscribed to, each time by the rights of that moment."""

    listener: Listener | None = None
    watch: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Let everybody in but pages of other sites; a browser is known by its session, others say who they are."""
        self.received: tuple[float, int] = (time.monotonic(), 0)
        request = ASGIRequest({**self.scope, "method": "GET"}, BytesIO())  # for its headers and cookies
        origin = identity.origin_of(request)
        if origin == "foreign":
            await self.close()  # before it is accepted: HTTP 403
            return
        await self.accept()
        found = identity.of_cookie(request) if origin == "own" else None
        if found is None or not await self._sit(found):
            self.watch = asyncio.create_task(self._expect_token())

    async def disconnect(self, code: int) -> None:
        if self.watch is not None:
            self.watch.cancel()
        if self.listener is not None:
            with contextlib.suppress(RedisError):
                for channel in self.listener.channels:
                    await self.channel_layer.group_discard(channel, self.channel_name)
                await read(self.listener.leave)

    # -- what the client says

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        try:
            said = json.loads(text_data or "") if len(text_data or "") <= MOST_BYTES else None
        except ValueError:
            said = None
        if self._is_flooding():
            await self._error("", "rate_limited", say("Too many frames in a short time."))
            await self.close(TOO_MANY)
        elif not isinstance(said, dict):
            await self._error("", "malformed_request", say("A frame is a JSON object with an action and a channel."))
        else:
            with contextlib.suppress(Gone, RedisError, DatabaseError):  # the watch closes the socket for either
                await self._do(said)

    async def _do(self, said: dict[str, Any]) -> None:
        action, channel = str(said.get("action") or ""), str(said.get("channel") or "")
        if action == "ping":
            await self._say("pong", channel)
        elif action == "authenticate":
            await self._authenticate(str(said.get("token") or ""))
        elif action not in ("subscribe", "unsubscribe"):
            await self._error(
                channel, "validation_error", say("Actions are subscribe, unsubscribe, ping and authenticate.")
            )
        elif self.listener is None:
            await self._error(
                channel, "authentication_required", say("Say who you are first: the action authenticate, with a token.")
            )
        elif action == "subscribe":
            await self._subscribe(self.listener, channel)
        else:
            self.listener.channels.discard(channel)
            await self.channel_layer.group_discard(channel, self.channel_name)
            await self._say("unsubscribed", channel)

    async def _authenticate(self, token: str) -> None:
        if self.listener is not None:
            return  # known already
        found = await read(identity.of_token, token)
        if found is None:
            await self.close(UNKNOWN)
        else:
            await self._sit(found)

    async def _subscribe(self, listener: Listener, channel: str) -> None:
        if channel not in listener.channels and len(listener.channels) >= MOST_CHANNELS:
            await self._error(
                channel, "rate_limited", say("A socket holds {most} subscriptions; end one first.", most=MOST_CHANNELS)
            )
            return
        if not await read(listener.may_listen, channel):
            await self._error(
                channel, "permission_denied", say("There is no such channel, or it is not yours to hear.")
            )
            return
        listener.channels.add(channel)
        await self.channel_layer.group_add(channel, self.channel_name)
        await self._say("subscribed", channel)
        for frame in await read(listener.frames_now, channel):
            await self._tell(frame)

    # -- what happens

    async def live_hint(self, hint: dict[str, Any]) -> None:
        """Something happened on a channel; called by the channel layer."""
        if self.listener is None or hint["channel"] not in self.listener.channels:
            return
        with contextlib.suppress(Gone, DatabaseError):
            if frame := await read(self.listener.frame_of, hint):
                await self._tell(frame)

    async def _sit(self, found: Identity) -> bool:
        """Know who it is from now on. False when a session is over; a token says so itself."""
        listener = Listener(found)
        try:
            has_seat = await read(listener.sit)
        except Gone:
            return False
        except (RedisError, DatabaseError):
            await self.close(AWAY)
            return True
        if not has_seat:
            await self._error(
                "", "rate_limited", say("You have as many live connections as one may have. Close a tab.")
            )
            await self.close(TOO_MANY)
            return True
        if self.watch is not None:
            self.watch.cancel()
        self.listener = listener
        self.watch = asyncio.create_task(self._stay(listener))
        return True

    async def _expect_token(self) -> None:
        await asyncio.sleep(AUTHENTICATE_SECONDS)
        await self.close(UNKNOWN)

    async def _stay(self, listener: Listener) -> None:
        """Close the socket once its person is to go, or nothing would reach it."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await read(listener.stay)
            except Gone:
                await self.close(UNKNOWN)
                return
            except (RedisError, DatabaseError):
                await self.close(AWAY)
                return

    # -- frames

    def _is_flooding(self) -> bool:
        since, count = self.received
        now = time.monotonic()
        self.received = (since, count + 1) if now - since < WINDOW_SECONDS else (now, 1)
        return self.received[1] > MOST_FRAMES

    async def _tell(self, frame: Frame) -> None:
        await self.send(text_data=json.dumps(frame.as_dict(), cls=JSONEncoder))

    async def _say(self, kind: str, channel: str) -> None:
        await self.send(text_data=json.dumps({"type": kind, "channel": channel}))

    async def _error(self, channel: str, code: str, message: str) -> None:
        await self.send(text_data=json.dumps({"type": "error", "channel": channel, "code": code, "message": message}))
