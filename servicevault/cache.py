"""The cache, which may go away: everything kept in it can be found out again, so nobody waits or fails for it."""

from __future__ import annotations

import contextlib
import hmac
import logging
import pickle
import time
from collections.abc import Callable
from typing import Any

from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from django.utils.crypto import salted_hmac
from redis import exceptions

logger = logging.getLogger("servicevault.cache")

SEAL_BYTES = 32  # of SHA-256
PAUSE_SECONDS = 5.0  # before the server is asked again; a request must not wait for it at every step


class SealedSerializer:
    """What is kept, under a seal of this installation: who can write to the server alone can make us read nothing.

    A pickle runs what it says when it is opened, so none is opened that we have not made. Whole numbers stay as they
    are: the server counts with them.
    """

    def dumps(self, value: Any) -> int | bytes:
        if type(value) is int:
            return value
        data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        return self._seal(data) + data

    def loads(self, data: bytes) -> Any:
        """The value; None, as if it were not there, when the seal is not ours."""
        with contextlib.suppress(ValueError):
            return int(data)
        seal, content = data[:SEAL_BYTES], data[SEAL_BYTES:]
        if hmac.compare_digest(seal, self._seal(content)):
            return pickle.loads(content)  # noqa: S301 - of our own making
        logger.warning("the cache held something that this installation has not put there")
        return None

    def _seal(self, data: bytes) -> bytes:
        return salted_hmac("servicevault.cache", data, algorithm="sha256").digest()


class ForgivingCache(RedisCache):
    """Redis or Valkey; while it is away, this process's own memory, so that limits still count (G31)."""

    def __init__(self, server: str | list[str], params: dict[str, Any]) -> None:
        options = {"socket_connect_timeout": 1.0, "socket_timeout": 2.0, "serializer": SealedSerializer}
        super().__init__(server, {**params, "OPTIONS": {**options, **params.get("OPTIONS", {})}})
        self._own = LocMemCache("while-the-cache-is-away", {**params, "OPTIONS": {}})
        self._away_until = 0.0

    @property
    def is_away(self) -> bool:
        return time.monotonic() < self._away_until

    def _asked(self, name: str, ask: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not self.is_away:
            try:
                return ask(*args, **kwargs)
            except (exceptions.ConnectionError, exceptions.TimeoutError):
                logger.warning("the cache does not answer; this process keeps things itself meanwhile")
                self._away_until = time.monotonic() + PAUSE_SECONDS
        return getattr(self._own, name)(*args, **kwargs)

    def add(self, *args: Any, **kwargs: Any) -> Any:
        return self._asked("add", super().add, *args, **kwargs)

    def get(self, *args: Any, **kwargs: Any) -> Any:
        return self._asked("get", super().get, *args, **kwargs)

    def set(self, *args: Any, **kwargs: Any) -> Any:
        return self._asked("set", super().set, *args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> Any:
        return self._asked("delete", super().delete, *args, **kwargs)

    def incr(self, *args: Any, **kwargs: Any) -> Any:
        return self._asked("incr", super().incr, *args, **kwargs)

    def get_many(self, *args: Any, **kwargs: Any) -> Any:
        return self._asked("get_many", super().get_many, *args, **kwargs)
