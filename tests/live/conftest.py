"""The site on a real ASGI server, and people who listen to it."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connections
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from permissions.models import Role
from tests.importer.conftest import desk

__all__ = ["desk"]


@pytest.fixture
def db(committed_db: None) -> Iterator[None]:
    """People and jobs of these tests are committed: the server looks at them through connections of its own."""
    yield
    own = Role.objects.filter(is_system=False)  # seeded ones are not swept, so these would stay too
    get_user_model().objects.filter(role__in=own).update(role=None)
    own.delete()


@dataclass(frozen=True)
class Site:
    """Where it listens."""

    port: int
    server: uvicorn.Server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def socket(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/import"


@pytest.fixture(scope="session")
def site(django_db_setup: None) -> Iterator[Site]:
    """The application as uvicorn serves it, on the test database; its connections end with each request."""
    from servicevault.asgi import application

    database = connections["default"].settings_dict
    kept, database["CONN_MAX_AGE"] = database["CONN_MAX_AGE"], 0
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(application, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield Site(listening.getsockname()[1], server)
    server.should_exit = True
    thread.join(10)
    database["CONN_MAX_AGE"] = kept


@pytest.fixture(autouse=True)
def hung_up(site: Site, db: None) -> Iterator[None]:
    """Between two tests nobody listens: the server would ask a database that is being swept."""
    yield
    deadline = time.monotonic() + 5
    while site.server.server_state.connections and time.monotonic() < deadline:
        time.sleep(0.01)


class Socket:
    """One live connection of somebody's."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def say(self, **frame: Any) -> None:
        self.connection.send(json.dumps(frame))

    def hear(self, seconds: float = 5.0) -> Any:
        """The next frame; None when nothing comes in time."""
        try:
            return json.loads(self.connection.recv(timeout=seconds))
        except TimeoutError:
            return None

    def ask(self, **frame: Any) -> Any:
        self.say(**frame)
        return self.hear()

    def subscribe(self, channel: str) -> list[Any]:
        """What came up to the answer to a ping behind it: the answer, and how things stand."""
        self.say(action="subscribe", channel=channel)
        self.say(action="ping", channel="mark")
        return self.until(lambda frame: frame.get("type") == "pong")[:-1]

    def until(self, is_last: Callable[[Any], bool], seconds: float = 15.0) -> list[Any]:
        found, deadline = [], time.monotonic() + seconds
        while not found or not is_last(found[-1]):
            frame = self.hear(max(0.0, deadline - time.monotonic()))
            assert frame is not None, f"nothing more came after {found}"
            found.append(frame)
        return found

    def closed_with(self, seconds: float = 12.0) -> int | None:
        """The code with which the server closed it, None when it did not."""
        deadline = time.monotonic() + seconds
        try:
            while time.monotonic() < deadline:
                self.connection.recv(timeout=max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            return None
        except ConnectionClosed as error:
            return error.rcvd.code if error.rcvd else None
        return None


@pytest.fixture
def opened(site: Site, db: None) -> Iterator[Callable[..., Socket]]:
    """`opened(browser)`: a socket of a page in this browser; `opened()`: a program's, which is nobody's yet."""
    made = ExitStack()

    def open_one(browser: Any = None, *, origin: str | None = "of a page") -> Socket:
        headers = {}
        if origin == "of a page":
            origin = None if browser is None else site.url
        if browser is not None:
            headers["Cookie"] = f"{settings.SESSION_COOKIE_NAME}={browser.cookies[settings.SESSION_COOKIE_NAME].value}"
        return Socket(made.enter_context(connect(site.socket, origin=origin, additional_headers=headers)))  # type: ignore[arg-type]

    with made:
        yield open_one
