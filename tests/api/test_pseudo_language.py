"""Failures of every layer, told in the reader's language with what they name in them (C14)."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.utils.translation import override
from rest_framework.test import APIRequestFactory, force_authenticate

from exporter.api import exports
from importer.api import profiles
from importer.errors import ExpressionError
from importer.models import ImportProfile
from importer.query.grammar import parse
from importer.sources.connection import ConnectionFailed, ConnectionParams, SourceLimits
from importer.sources.hosts import HostPolicy
from importer.sources.session import open_session
from permissions import policy
from servicevault.tabular import sandbox
from servicevault.tabular.errors import FileRejected
from servicevault.tabular.options import ReadOptions
from tests.pseudo import PSEUDO

pytestmark = pytest.mark.req("C14")


@pytest.fixture(autouse=True)
def reader(pseudo_language: None) -> Iterator[None]:
    with override(PSEUDO):
        yield


@pytest.fixture
def ask() -> Callable[..., Any]:
    """`ask(who, view, body)`: the answer of a view; without the middleware, which would choose the language."""

    def asked(who: Any, view: Any, body: Any = None, *, method: str = "post", **place: Any) -> Any:
        request = getattr(APIRequestFactory(), method)("/api/", body, format="json")
        force_authenticate(request, who)
        answer = view.as_view()(request, **place)
        answer.render()
        return answer

    return asked


def test_a_failed_request(ask: Callable[..., Any], alice: Any) -> None:
    answer = ask(alice, exports.Create, {"table_name": "no_such", "export_format": "csv"})
    assert answer.status_code == 404
    assert answer.data["code"] == "not_found"
    assert "⟦There is no table “no_such”.⟧".encode() in answer.content


def test_a_refused_permission(ask: Callable[..., Any], charlie: Any) -> None:
    answer = ask(charlie, exports.Create, {"table_name": "tickets", "export_format": "csv"})
    assert answer.status_code in {403, 404}
    with pytest.raises(policy.Denied) as denied:
        policy.require(charlie, "import.raw_sql")
    assert str(denied.value) == "⟦You need the permission “import.raw_sql”.⟧"


def test_an_answer_that_is_no_failure(ask: Callable[..., Any], alice: Any, profile: ImportProfile) -> None:
    answer = ask(alice, profiles.OneProfile, method="delete", pk=profile.pk)
    assert answer.data["message"] == "The profile is deleted."
    assert json.loads(answer.content)["message"] == "⟦The profile is deleted.⟧"


def test_a_refused_expression() -> None:
    with pytest.raises(ExpressionError) as refused:
        parse("SELECTT(1)")
    assert str(refused.value).startswith("⟦")
    assert "SELECTT" in str(refused.value)
    assert "⟦" not in refused.value.message[:]  # kept in English


def test_an_unreachable_source() -> None:
    params = ConnectionParams(host="127.0.0.1", port=1, database="desk", username="reader", password="pw")
    with pytest.raises(ConnectionFailed) as failed:
        open_session(params, policy=HostPolicy(allow_loopback=True), limits=SourceLimits(), application_name="t")
    assert str(failed.value).startswith("⟦Nothing accepts connections at 127.0.0.1:1.⟧ ⟦Check host and port")


def test_a_file_that_a_child_of_ours_refused() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b'[{"sku": 1},\n{"sku": oops}]')
        file.flush()
        with pytest.raises(FileRejected) as rejected:
            sandbox.inspect(file, ReadOptions())
    assert str(rejected.value).startswith("⟦The JSON cannot be read from line 2 on: ")
    assert rejected.value.message[:].startswith("The JSON cannot be read from line 2 on: ")
