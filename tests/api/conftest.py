"""Programs that call the API with a token of a person's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client

from permissions.models import ApiToken
from tests.importer.conftest import target
from tests.importer.operations.conftest import connection_values, people_query, shop, shop_params, shop_url

__all__ = ["connection_values", "people_query", "shop", "shop_params", "shop_url", "target"]


@dataclass
class Program:
    """Calls the API as somebody; answers are Django's, with `json()`."""

    token: str
    client: Client

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        sent = {} if body is None else {"data": body, "content_type": "application/json"}
        call = getattr(self.client, method)
        return call(f"/api/import{path}", headers={"Authorization": f"Bearer {self.token}", **headers}, **sent)

    def get(self, path: str, **headers: str) -> Any:
        return self.call("get", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.call("post", path, {} if body is None else body, **headers)

    def put(self, path: str, body: Any) -> Any:
        return self.call("put", path, body)

    def delete(self, path: str) -> Any:
        return self.call("delete", path)


@pytest.fixture
def program() -> Callable[[Any], Program]:
    """`program(alice)`: a program with a token of Alice's."""

    def of(who: Any) -> Program:
        return Program(ApiToken.objects.make(who, "test")[1], Client())

    return of


@pytest.fixture
def api(program: Callable[[Any], Program], alice: Any) -> Program:
    """A program of Alice's, who configures and runs imports."""
    return program(alice)
