"""Sources for these tests: databases on the server every test uses, and helpers to log in to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from importer.sources.connection import ConnectionParams, HostPolicy, SourceLimits, SourceSession, open_session

POLICY = HostPolicy(allow_loopback=True)
OpenSource = Callable[..., SourceSession]


@pytest.fixture
def open_source() -> Iterator[OpenSource]:
    """Return `open_source(url, **options)`, which opens a session that is closed after the test."""
    opened: list[SourceSession] = []

    def open_one(url: str, *, limits: SourceLimits | None = None, **options: object) -> SourceSession:
        params, _ = ConnectionParams.from_url(url)
        session = open_session(
            params, policy=POLICY, limits=limits or SourceLimits(), application_name="service-vault/test", **options
        )
        opened.append(session)
        return session

    yield open_one
    for session in opened:
        session.close()
