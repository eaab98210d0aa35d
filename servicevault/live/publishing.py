"""Hints on their way out: through a thread of their own, so that nobody who works ever waits for the broker (L17)."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import queue
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

from channels.layers import get_channel_layer
from redis.exceptions import RedisError

logger = logging.getLogger("servicevault.live")

MOST_WAITING = 1000  # hints; what is beyond is dropped, watchers look for themselves
PATIENCE_SECONDS = 2.0  # for one hint; then the broker is taken to be away
PAUSE_SECONDS = 5.0  # before it is tried again
LAST_WORDS_SECONDS = 1.0  # what a process that ends gives its last hints

Hint = Mapping[str, Any]


class Publisher:
    """Sends hints in the order they were given. Made anew in a forked process: threads do not come along."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.waiting: queue.Queue[tuple[tuple[str, ...], Hint] | None] = queue.Queue(MOST_WAITING)
        self.away_until = 0.0
        self.thread = threading.Thread(target=self._run, name="live-hints", daemon=True)
        self.thread.start()

    def put(self, channels: Iterable[str], hint: Hint) -> None:
        try:
            self.waiting.put_nowait((tuple(channels), hint))
        except queue.Full:
            logger.warning("too many hints wait to be sent; one is dropped")

    def end(self) -> None:
        """Send what still waits, for a moment."""
        try:
            self.waiting.put_nowait(None)
        except queue.Full:
            return
        self.thread.join(LAST_WORDS_SECONDS)

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            while (item := self.waiting.get()) is not None:
                if time.monotonic() >= self.away_until:
                    runner.run(self._send(*item))
            if layer := get_channel_layer():
                runner.run(layer.flush())

    async def _send(self, channels: tuple[str, ...], hint: Hint) -> None:
        layer = get_channel_layer()
        assert layer is not None
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                for channel in channels:
                    await layer.group_send(channel, {"type": "live.hint", "channel": channel, **hint})
        except (RedisError, OSError, TimeoutError):
            logger.warning("hints cannot be sent; whoever watches looks for themselves meanwhile")
            self.away_until = time.monotonic() + PAUSE_SECONDS


_publisher: Publisher | None = None
_lock = threading.Lock()


def publish(channels: Iterable[str], hint: Hint) -> None:
    """Send the hint to whoever listens on these channels; returns at once and never fails."""
    global _publisher  # noqa: PLW0603 - one a process
    with _lock:
        if _publisher is None or _publisher.process != os.getpid():
            _publisher = Publisher()
    _publisher.put(channels, hint)


@atexit.register
def _end() -> None:
    if _publisher is not None and _publisher.process == os.getpid():
        _publisher.end()
