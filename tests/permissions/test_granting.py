"""Giving rights on tables: who may, to whom, and what is refused (F-127, F-128, F-132)."""

from __future__ import annotations

from typing import Any

import pytest

from permissions import granting, tables
from permissions.models import AuditEntry, ImportPermission
from tests.api.conftest import Program, program

__all__ = ["program"]
pytestmark = pytest.mark.django_db


@pytest.fixture
def manager(bob: Any) -> Any:
    """Bob, who may also grant rights on tables."""
    bob.grants.create(permission="data.permissions.manage")
    return bob


class Data:
    """Calls guide B's API as somebody."""

    def __init__(self, caller: Program) -> None:
        self.caller = caller

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        sent = {} if body is None else {"data": body, "content_type": "application/json"}
        call = getattr(self.caller.client, method)
        headers = {"Authorization": f"Bearer {self.caller.token}"}
        return call(f"/api/v1/data/permissions{path}", headers=headers, **sent)


@pytest.fixture
def data(manager: Any, program: Any) -> Data:
    return Data(program(manager))


@pytest.mark.req("F-132", "G25")
@pytest.mark.parametrize("kind", ["import", "export"])
def test_a_row_is_given_changed_and_taken(kind: str, data: Data, charlie: Any) -> None:
    made = data("post", f"/{kind}", {"user_id": str(charlie.pk), "table_name": "tickets", "allowed_columns": ["title"]})
    assert made.status_code == 201
    row = made.json()
    assert (row["user_id"], row["table_name"], row["allowed_columns"]) == (str(charlie.pk), "tickets", ["title"])
    assert row["allowed_formats"] == ["csv", "json", "excel"]
    listed = data("get", f"/{kind}?user_id={charlie.pk}&table_name=tickets").json()
    assert (listed["permissions"], listed["total_count"]) == ([row], 1)
    changed = data("put", f"/{kind}/{row['id']}", {"allowed_formats": ["csv"]}).json()
    assert (changed["allowed_formats"], changed["allowed_columns"]) == (["csv"], ["title"])
    assert data("delete", f"/{kind}/{row['id']}").status_code == 204
    assert data("get", f"/{kind}/{row['id']}").status_code == 404
    found = AuditEntry.objects.filter(table_name="tickets").order_by("timestamp").values_list("operation", flat=True)
    assert list(found) == ["permission_granted", "permission_changed", "permission_revoked"]


@pytest.mark.req("F-132", "F-123")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("table_name", "nowhere"),
        ("table_name", "django_session"),
        ("table_name", "audit_log"),
        ("max_rows_per_import", -1),
        ("allowed_formats", ["docx"]),
        ("allowed_columns", ["colour"]),
        ("role_id", 999_999),
    ],
)
def test_what_cannot_be_right_is_refused(field: str, value: Any, data: Data, charlie: Any) -> None:
    whom = {} if field == "role_id" else {"user_id": str(charlie.pk)}
    answer = data("post", "/import", {**whom, "table_name": "tickets", field: value})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    assert field in "".join(answer.json()["errors"])
    assert not ImportPermission.objects.exists()


@pytest.mark.req("F-132", "G15")
def test_a_sensitive_column_cannot_be_given(data: Data, charlie: Any) -> None:
    body = {"user_id": str(charlie.pk), "table_name": "users", "allowed_columns": ["name", "password"]}
    assert data("post", "/export", body).json()["errors"]["allowed_columns"][0].startswith("“password”")


@pytest.mark.req("F-132")
def test_a_second_row_for_the_same_is_refused(data: Data, charlie: Any) -> None:
    body = {"role_id": charlie.role_id, "table_name": "tickets"}
    assert [data("post", "/import", body).status_code for _ in range(2)] == [201, 409]


@pytest.mark.req("F-132")
def test_nobody_changes_rows_that_apply_to_themselves(data: Data, manager: Any, root: Any, program: Any) -> None:
    own = {"user_id": str(manager.pk), "table_name": "tickets"}
    ours = {"role_id": manager.role_id, "table_name": "tickets"}
    assert [data("post", "/import", body).status_code for body in (own, ours)] == [403, 403]
    row = ImportPermission.objects.create(role=manager.role, table_name="tickets")
    assert data("put", f"/import/{row.pk}", {"can_import": False}).status_code == 403
    assert data("delete", f"/import/{row.pk}").status_code == 403
    assert Data(program(root))("post", "/import", {"user_id": str(root.pk), "table_name": "tickets"}).status_code == 201


@pytest.mark.req("F-132")
def test_granting_needs_its_permission(alice: Any, program: Any) -> None:
    answer = Data(program(alice))("get", "/import")
    assert (answer.status_code, answer.json()["required_permission"]) == (403, "data.permissions.manage")


@pytest.mark.req("F-127")
def test_a_bulk_grant_writes_one_row_a_table_and_is_on_record(manager: Any, charlie: Any) -> None:
    ImportPermission.objects.create(user=charlie, table_name="tickets", max_rows_per_import=1)
    granting.grant_many(
        "import", by=manager, table_names=["tickets", "accounts"], user=charlie, values={"max_rows_per_import": 9}
    )
    rows = ImportPermission.objects.values_list("table_name", "max_rows_per_import")
    assert list(rows) == [("accounts", 9), ("tickets", 9)]
    entry = AuditEntry.objects.get(operation="permission_granted", object_type="servicevault.user")
    assert entry.details["tables"] == ["tickets", "accounts"]
    with pytest.raises(granting.Refused):
        granting.grant_many("import", by=manager, table_names=["accounts", "nowhere"], role=charlie.role, values={})
    assert ImportPermission.objects.filter(role__isnull=False).count() == 0


@pytest.mark.req("F-128")
def test_presets_start_from_the_roles_of_the_guide() -> None:
    assert granting.preset("admin", "import") == {"max_file_size_mb": 100, "max_rows_per_import": 100_000}
    assert granting.preset("user", "import")["requires_approval"]
    assert granting.preset("viewer", "export") == {"can_preview": False, "can_export": False}


@pytest.mark.req("F-126")
def test_what_counts_is_shown_with_its_source(manager: Any, charlie: Any, root: Any) -> None:
    assert granting.effective(charlie, "tickets").source == "no row"
    ImportPermission.objects.create(role=charlie.role, table_name="tickets")
    assert granting.effective(charlie, "tickets").source == "role Agent"
    ImportPermission.objects.create(user=charlie, table_name="tickets", max_rows_per_import=5)
    found = granting.effective(charlie, "tickets")
    assert (found.source, found.imports.max_rows_per_import, found.export_source) == ("own row", 5, "no row")
    assert granting.effective(root, "tickets").source == "super admin"
    assert tables.export_allowance(charlie, "tickets") == found.exports
