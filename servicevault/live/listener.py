"""One socket or stream: who listens, where, and what they were told already. The same for both."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from channels.db import DatabaseSyncToAsync

from servicevault.live import channels, seats
from servicevault.live.channels import Frame, Hint
from servicevault.live.identity import Identity

P = ParamSpec("P")
R = TypeVar("R")

MOST_CHANNELS = 50  # L15
LOOK_SECONDS = 5.0  # how often it is asked whether the listener is still who they were (L15: within ten)

# A few threads, and so a few database connections, serve all listeners of this process, however many there are.
_readers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="live-reader")


class Gone(Exception):
    """The listener logged out, is inactive, or the token was revoked."""


async def read(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Let one of the readers do what asks the database."""
    reader = DatabaseSyncToAsync(work, thread_sensitive=False, executor=_readers)
    result: R = await reader(*args, **kwargs)
    return result


class Listener:
    """Everything here asks the database or the broker: call it through `read`."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.seat = secrets.token_hex(8)
        self.user_id = ""
        self.channels: set[str] = set()
        self.told: dict[tuple[str, str], int] = {}  # channel and id → the sequence number told last

    def sit(self) -> bool:
        """Take a seat. False when the person has too many. Raises Gone, RedisError."""
        self.user_id = str(self._user().pk)
        return seats.take(self.user_id, self.seat)

    def stay(self) -> None:
        """Raises Gone when the listener is to go, RedisError when nothing would reach them any more."""
        self._user()
        seats.keep(self.user_id, self.seat)

    def leave(self) -> None:
        if self.user_id:
            seats.leave(self.user_id, self.seat)

    def may_listen(self, channel: str) -> bool:
        return channels.may_listen(self._user(), channel)

    def frames_now(self, channel: str) -> list[Frame]:
        """How things stand on a channel of the listener's (L10)."""
        frames = channels.frames_now(self._user(), channel)
        for frame in frames:
            self._note(channel, frame.data)
        return frames

    def frame_of(self, hint: Hint) -> Frame | None:
        """What the hint means to the listener; None when it is not theirs to know, or they know already."""
        sequence = hint.get("sequence")
        is_status = "event_type" in hint
        if sequence is not None and not is_status and sequence <= self._last(hint):
            return None
        frame = channels.frame_of(self._user(), hint)
        if frame is not None and sequence is not None:
            frame.data["sequence"] = sequence  # what was read is at least as new
            self.told[str(hint["channel"]), str(hint["id"])] = max(sequence, self._last(hint))
        return frame

    def _last(self, hint: Hint) -> int:
        return self.told.get((str(hint["channel"]), str(hint["id"])), -1)

    def _note(self, channel: str, data: dict[str, Any]) -> None:
        if "sequence" in data:
            self.told[channel, str(data["job_id"])] = data["sequence"]

    def _user(self) -> Any:
        user = self.identity.user()
        if user is None:
            raise Gone
        return user
