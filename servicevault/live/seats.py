"""How many sockets a person holds, counted for all processes together (L15)."""

from __future__ import annotations

import time
from functools import cache

import redis
from django.conf import settings

MOST_SEATS = 10
KEPT_SECONDS = 20  # a seat that nobody renewed for so long is free: its process died


@cache
def _server() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=1.0, socket_timeout=2.0)


def take(user_id: str, seat: str) -> bool:
    """Take a seat, or keep it. False when all of the person's are taken. Raises RedisError while the broker is away."""
    key, now = f"live:seats:{user_id}", time.time()
    with _server().pipeline() as steps:
        steps.zremrangebyscore(key, 0, now - KEPT_SECONDS)
        steps.zadd(key, {seat: now}, nx=True)
        steps.zcard(key)
        steps.expire(key, 2 * KEPT_SECONDS)
        _, _, taken, _ = steps.execute()
    if taken <= MOST_SEATS:
        return True
    leave(user_id, seat)
    return False


def keep(user_id: str, seat: str) -> None:
    """Say that the seat is still taken. Raises RedisError while the broker is away."""
    _server().zadd(f"live:seats:{user_id}", {seat: time.time()})


def leave(user_id: str, seat: str) -> None:
    _server().zrem(f"live:seats:{user_id}", seat)
