"""Nobody's login is changed by an import, whatever way the row takes (E2, E4, E38)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from importer import operations
from importer.models import ImportJob, ImportRecord
from importer.operations import files
from permissions.tokens import ApiToken
from servicevault.models import Account, User
from tests.conftest import person
from tests.importer.desk import Desk
from tests.importer.files.conftest import imported, outcomes, uploaded

pytestmark = pytest.mark.usefixtures("committed_db")

AGENT = {"external_id": "id", "name": "name", "email": "mail", "phone": "phone", "is_active": "active"}


@pytest.fixture
def staff(desk: Desk) -> Desk:
    """Two agents of the source: one has the address of somebody who logs in here, one is new."""
    desk.execute("CREATE TABLE p (id int PRIMARY KEY, name text, mail text, phone text, active boolean, firm text)")
    desk.execute(
        "INSERT INTO p VALUES (1, 'Root of old', 'root@desk.example', '1', false), (2, 'Ann', 'ann@x.de', '2', true)"
    )
    desk.query("agents", "p", AGENT)
    return desk


@pytest.fixture
def root() -> Any:
    return person("root", name="Root Admin", is_superuser=True)


def access(user: User) -> tuple[Any, ...]:
    user.refresh_from_db()
    return user.username, user.email, user.is_active, user.is_superuser, user.user_type, user.account_id, user.password


def kept(record: ImportRecord) -> list[tuple[str, str, str]]:
    return [(item["code"], item["field"], item["value"]) for item in record.warnings or ()]


@pytest.mark.req("E2", "E4", "E38", "M15")
def test_it_updates_the_name_of_who_logs_in_and_keeps_the_login(staff: Desk, root: Any) -> None:
    before = access(root)
    job = staff.run()
    assert staff.outcomes(job) == {"read": 2, "created": 1, "updated": 1}
    assert access(root) == before
    assert (root.name, root.phone) == ("Root of old", "1")
    record = staff.record(job, "1")
    assert record.changed_fields == ["name", "phone"]
    assert kept(record) == [("login_kept", "is_active", "false")]
    assert "can log in here" in record.warnings[0]["message"]

    # Known by its id from now on, whatever address it has; Ann, whom the import made, follows the source.
    staff.execute("UPDATE p SET mail = 'new-' || mail, active = NOT active")
    second = staff.run()
    assert access(root) == before
    assert staff.outcomes(second) == {"read": 2, "updated": 1, "unchanged": 1}
    assert kept(staff.record(second, "1")) == [("login_kept", "email", "new-root@desk.example")]
    ann = User.objects.get(name="Ann")
    assert (ann.email, ann.is_active) == ("new-ann@x.de", False)
    assert staff.outcomes(staff.run()) == {"read": 2, "unchanged": 2}


def test_it_tells_in_the_rehearsal_and_the_preview_what_it_would_keep(staff: Desk, root: Any) -> None:
    rehearsal = staff.run(dry_run=True)
    assert kept(staff.record(rehearsal, "1")) == [("login_kept", "is_active", "false")]
    query = staff.profile.queries.get()
    row = operations.sample_query(staff.profile, operations.body_of(query), by=None, reveal=True).sample.rows[0]
    assert (row.target["is_active"], [item["code"] for item in row.warnings]) == (True, ["login_kept"])


@pytest.mark.parametrize("way_in", ["password", "token", "none", "revoked"])
def test_a_password_or_a_token_is_a_login_and_an_imported_person_has_none(staff: Desk, way_in: str) -> None:
    here = User.objects.create(name="Old", email="root@desk.example", user_type="agent")
    if way_in == "password":
        here.set_password("correct horse")
        here.save()
    elif way_in in ("token", "revoked"):
        token, _ = ApiToken.objects.make(here, "nightly")
        if way_in == "revoked":
            token.revoke()
    job = staff.run()
    here.refresh_from_db()
    assert here.name == "Root of old"
    assert here.is_active is (way_in in ("password", "token"))
    assert bool(kept(staff.record(job, "1"))) is here.is_active


def test_a_retry_keeps_it_too(staff: Desk, root: Any) -> None:
    staff.execute("UPDATE p SET name = '', mail = 'nobody' WHERE id = 1")
    job = staff.run()
    assert staff.record(job, "1").action == "failed"
    staff.execute("UPDATE p SET name = 'Root again', mail = 'root@desk.example' WHERE id = 1")
    before = access(root)
    again = staff.work(operations.retry(job, by=None))
    assert staff.outcomes(again) == {"read": 1, "updated": 1}
    assert (access(root), root.name) == (before, "Root again")


@pytest.mark.req("E29")
def test_an_account_that_comes_later_moves_nobody_who_logs_in(desk: Desk) -> None:
    here = User.objects.create(name="Cora", email="cora@x.de")
    here.set_password("correct horse")
    here.save()
    desk.execute(
        "CREATE TABLE c (id int PRIMARY KEY, name text, mail text, firm text); CREATE TABLE f (id text, name text)"
    )
    desk.execute("INSERT INTO c VALUES (1, 'Cora', 'cora@x.de', 'acme'), (2, 'Dan', 'dan@x.de', 'acme')")
    fields = {"external_id": "id", "name": "name", "email": "mail", "account_external_id": "firm"}
    desk.query("accounts", "f", {"external_id": "id", "name": "name"})
    desk.query("customer_users", "c", fields)
    desk.run()
    desk.execute("INSERT INTO f VALUES ('acme', 'Acme')")
    desk.run()
    acme = Account.objects.get(name="Acme")
    assert list(User.objects.filter(account=acme).values_list("name", flat=True)) == ["Dan"]


@pytest.mark.req("F-020", "F-089")
def test_a_file_and_its_correction_keep_it(root: Any, settings: Any, tmp_path: Path) -> None:
    settings.IMPORT_TEMP_DIR = tmp_path / "imports"
    before = access(root)
    options = {"on_duplicate": "update"}
    text = "external_id,name,email,is_active\n1,Root of file,root@desk.example,no\n2,Ann,nowhere,no\n"
    checked = files.validate(
        uploaded(text, name="agents.csv", target_type="agents", options=options), None, system=True
    )
    assert [(each["row"], each["code"], each["field"]) for each in checked["warnings"]] == [
        (2, "login_kept", "is_active")
    ]
    job = imported(text, name="agents.csv", target_type="agents", options=options)
    assert outcomes(job) == {"read": 2, "updated": 1, "failed": 1, "warnings": 1}
    assert (access(root), root.name) == (before, "Root of file")
    assert kept(ImportRecord.objects.get(run__job=job, action="updated")) == [("login_kept", "is_active", "false")]

    data = io.BytesIO()
    files.error_file(job, "csv", data)
    fixed = data.getvalue().replace(b"nowhere", b"root@desk.example").replace(b"Ann", b"Root mended")
    again, _ = files.retry_from_file(job, None, io.BytesIO(fixed), "fixed.csv", system=True)
    started(again)
    assert (access(root), root.name) == (before, "Root mended")


@pytest.mark.req("F-057", "M14", "G15")
def test_the_table_of_people_keeps_it_for_files_and_queries(
    desk: Desk, root: Any, settings: Any, tmp_path: Path
) -> None:
    settings.IMPORT_TEMP_DIR = tmp_path / "imports"
    ann = User.objects.create(name="Ann", email="ann@x.de", user_type="agent")
    before = access(root)
    rows = f"id,name,email,username,user_type,is_active\n{root.pk},Root,r@x.de,r,account_user,false\n{ann.pk},Anne,anne@x.de,,agent,false\n"
    job = imported(rows, name="users.csv", table="users", options={"on_duplicate": "update", "duplicate_key": ["id"]})
    assert outcomes(job) == {"read": 2, "updated": 2, "warnings": 1}
    assert (access(root), root.name) == (before, "Root")
    ann.refresh_from_db()
    assert (ann.name, ann.email, ann.is_active) == ("Anne", "anne@x.de", False)
    record = ImportRecord.objects.get(run__job=job, target_id=root.pk)
    assert {field for _, field, _ in kept(record)} == {"email", "username", "user_type", "is_active"}

    desk.execute("CREATE TABLE u (id uuid PRIMARY KEY, name text, mail text, active boolean)")
    desk.execute("INSERT INTO u VALUES (%s, 'Root', 'r@x.de', false)", [root.pk])
    desk.query("table:users", "u", {"id": "id", "name": "name", "email": "mail", "is_active": "active"}, key="users")
    queried = desk.run()
    assert desk.outcomes(queried) == {"read": 1, "unchanged": 1}
    assert access(root) == before
    assert {field for _, field, _ in kept(ImportRecord.objects.get(run__job=queried))} == {"email", "is_active"}


def started(job: ImportJob) -> None:
    from importer import runner

    files.validate(job, None, system=True)
    files.start(job, None, accept_errors=True, system=True)
    runner.work(job.pk)


@pytest.mark.req("F-080", "G15")
def test_the_check_of_a_file_tells_beforehand_what_is_kept(root: Any, settings: Any, tmp_path: Path) -> None:
    settings.IMPORT_TEMP_DIR = tmp_path / "imports"
    text = "username,name,email,is_active\nroot,Root of file,other@desk.example,no\nnobody,No One,no@desk.example,yes\n"
    options = {"on_duplicate": "update", "duplicate_key": ["username"]}
    job = uploaded(text, name="users.csv", table="users", options=options)
    report = files.validate(job, None, system=True)
    told = [(each["row"], each["code"], each["field"], each["value"]) for each in report["warnings"]]
    assert [each for each in told if each[1] == "login_kept"] == [
        (2, "login_kept", "email", "other@desk.example"),
        (2, "login_kept", "is_active", "false"),
    ]
    unchanged = text.replace("other@", "root@").replace("root@desk.example,no", "root@desk.example,yes")
    again = files.validate(uploaded(unchanged, name="users.csv", table="users", options=options), None, system=True)
    assert "login_kept" not in {each["code"] for each in again["warnings"]}
